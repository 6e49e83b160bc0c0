#include "scheduler/policies/serial.h"

#include <limits>

#include "scheduler/policies/admission.h"

namespace jigsaw {

Decision SerialPolicy::choose(const Plan& plan, const Capacity& capacity, Clock::TimePoint) const {
  // Whoever is in the middle of its updates has the workers, since others' updates may wait for them. Else who is
  // furthest behind; of those, the one in the middle of its step.
  int chosen = -1;
  const auto before_chosen = [&](int pipeline) {
    if (chosen < 0 || plan.step(pipeline) != plan.step(chosen))
      return chosen < 0 || plan.step(pipeline) < plan.step(chosen);
    return plan.step_started(pipeline, plan.step(pipeline)) && !plan.step_started(chosen, plan.step(chosen));
  };
  for (int pipeline = 0; pipeline < plan.num_pipelines(); ++pipeline) {
    if (!plan.done(pipeline) && !is_held(plan, pipeline) && before_chosen(pipeline)) chosen = pipeline;
  }
  if (!plan.updating().empty()) chosen = plan.updating().front();
  if (!plan.running().empty()) chosen = plan.running().begin()->pipeline;
  Decision decision;
  if (chosen < 0) return decision;
  Admission admission(plan, capacity, std::numeric_limits<int>::max());
  for (const NodeRef ref : plan.ready()) {
    // With stale weights a step ends only after the rollouts that its update must wait for.
    if (ref.pipeline != chosen || ref.step > plan.step(chosen) + plan.spec(chosen).staleness) continue;
    if (!admission.can_start(ref)) continue;
    admission.add(ref);
    decision.start.push_back({.node = ref, .share = 1.0, .reason = "its turn"});
  }
  return decision;
}

}  // namespace jigsaw
