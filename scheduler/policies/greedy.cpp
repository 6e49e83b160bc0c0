#include "scheduler/policies/greedy.h"

#include "scheduler/policies/admission.h"

namespace jigsaw {

Decision GreedyPolicy::choose(const Plan& plan, const Capacity& capacity, Clock::TimePoint) const {
  Decision decision;
  Admission admission(plan, capacity, capacity.corun_max);
  std::vector<int> workers = workers_to_decide(plan);
  std::erase_if(workers, [&](int worker) { return admission.num_computing(worker) >= capacity.corun_max; });
  for (const NodeRef ref : ready_in_order(plan, workers)) {
    if (!admission.can_start(ref)) continue;
    admission.add(ref);
    decision.start.push_back({.node = ref, .share = plan.spec(ref.pipeline).weight, .reason = "ready"});
  }
  return decision;
}

}  // namespace jigsaw
