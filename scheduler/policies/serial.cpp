#include "scheduler/policies/serial.h"

namespace jigsaw {

std::vector<DispatchChoice> SerialPolicy::choose(const Plan& plan, const Capacity&, Clock::TimePoint) const {
  // The pipeline in the middle of a step has the workers; between steps, whoever is furthest behind.
  int chosen = -1;
  for (int pipeline = 0; pipeline < plan.num_pipelines(); ++pipeline) {
    if (plan.done(pipeline)) continue;
    if (plan.step_started(pipeline)) {
      chosen = pipeline;
      break;
    }
    if (chosen < 0 || plan.step(pipeline) < plan.step(chosen)) chosen = pipeline;
  }
  std::vector<DispatchChoice> choices;
  for (const NodeRef ref : plan.ready()) {
    if (ref.pipeline == chosen) choices.push_back({ref, 1.0, "its turn"});
  }
  return choices;
}

}  // namespace jigsaw
