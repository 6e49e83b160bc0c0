#include "scheduler/policies/rollout_sharing.h"

#include "scheduler/policies/admission.h"

namespace jigsaw {

Decision RolloutSharingPolicy::choose(const Plan& plan, const Capacity& capacity, Clock::TimePoint) const {
  Decision decision;
  Admission admission(plan, capacity, capacity.corun_max);
  enum class Use : char { kFree, kRollouts, kTraining };
  std::vector<Use> use(static_cast<std::size_t>(plan.num_workers()) + 1, Use::kFree);
  int training = -1;  // the pipeline that trains
  const auto note = [&](NodeRef ref) {
    const Node& node = plan.node(ref);
    use[static_cast<std::size_t>(node.worker)] = is_rollout(node.kind) ? Use::kRollouts : Use::kTraining;
    if (!is_rollout(node.kind)) training = ref.pipeline;
  };
  for (const NodeRef ref : plan.running()) note(ref);
  // A pipeline between its first and last training sub-stage goes on before others begin.
  for (int pipeline = 0; training < 0 && pipeline < plan.num_pipelines(); ++pipeline) {
    if (plan.done(pipeline) || is_held(plan, pipeline)) continue;
    const std::int64_t step = plan.step(pipeline);
    if (plan.kind_started(pipeline, step, SubStageKind::kLogprob) ||
        plan.kind_started(pipeline, step, SubStageKind::kUpdate))
      training = pipeline;
  }
  const std::vector<NodeRef> ready = ready_in_order(plan);
  // Training first: a worker that it waits for takes no new rollouts.
  for (const NodeRef ref : ready) {
    const Node& node = plan.node(ref);
    if (is_rollout(node.kind) || (training >= 0 && training != ref.pipeline)) continue;
    Use& its_use = use[static_cast<std::size_t>(node.worker)];
    const bool is_free = its_use == Use::kFree && plan.running_on(node.worker).empty() && admission.can_start(ref);
    training = ref.pipeline;
    its_use = Use::kTraining;
    if (!is_free) continue;
    admission.add(ref);
    decision.start.push_back({.node = ref, .share = 1.0, .reason = "training has the worker to itself"});
  }
  for (const NodeRef ref : ready) {
    const Node& node = plan.node(ref);
    if (!is_rollout(node.kind) || use[static_cast<std::size_t>(node.worker)] == Use::kTraining) continue;
    if (!admission.can_start(ref)) continue;
    admission.add(ref);
    decision.start.push_back(
        {.node = ref, .share = plan.spec(ref.pipeline).weight, .reason = "rollouts share the worker"});
  }
  return decision;
}

}  // namespace jigsaw
