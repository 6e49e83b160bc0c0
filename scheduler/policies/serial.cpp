#include "scheduler/policies/serial.h"

#include <limits>

#include "scheduler/policies/admission.h"

namespace jigsaw {

Decision SerialPolicy::choose(const Plan& plan, const Capacity& capacity, Clock::TimePoint) const {
  // Whoever is furthest behind has the workers; of those, the one in the middle of its step. With stale weights several
  // have begun theirs; whose updates are under way goes on.
  int chosen = -1;
  const auto progress = [&](int pipeline) {
    const std::int64_t step = plan.step(pipeline);
    return (plan.step_started(pipeline, step) ? 1 : 0) +
           (plan.kind_started(pipeline, step, SubStageKind::kUpdate) ? 1 : 0);
  };
  const auto before_chosen = [&](int pipeline) {
    if (chosen < 0 || plan.step(pipeline) != plan.step(chosen))
      return chosen < 0 || plan.step(pipeline) < plan.step(chosen);
    return progress(pipeline) > progress(chosen);
  };
  for (int pipeline = 0; pipeline < plan.num_pipelines(); ++pipeline) {
    if (!plan.done(pipeline) && before_chosen(pipeline)) chosen = pipeline;
  }
  if (!plan.running().empty()) chosen = plan.running().begin()->pipeline;
  Decision decision;
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
