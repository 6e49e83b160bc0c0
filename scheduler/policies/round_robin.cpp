#include "scheduler/policies/round_robin.h"

#include <algorithm>

#include "scheduler/policies/admission.h"

namespace jigsaw {

Decision RoundRobinPolicy::choose(const Plan& plan, const Capacity& capacity, Clock::TimePoint) const {
  Decision decision;
  Admission admission(plan, capacity, 1);
  std::vector<bool> taken(static_cast<std::size_t>(plan.num_workers()) + 1);
  for (const NodeRef ref : plan.running()) taken[static_cast<std::size_t>(plan.node(ref).worker)] = true;
  // Who has waited longest is next; gangs before all.
  std::vector<NodeRef> ready = all_ready_in_order(plan);
  std::stable_sort(ready.begin(), ready.end(), [&](NodeRef a, NodeRef b) {
    const bool a_first = is_of_open_gang(plan, a), b_first = is_of_open_gang(plan, b);
    return a_first != b_first ? a_first : plan.ready_since(a) < plan.ready_since(b);
  });
  for (const NodeRef ref : ready) {
    const auto worker = static_cast<std::size_t>(plan.node(ref).worker);
    if (taken[worker] || !admission.can_start(ref)) continue;
    taken[worker] = true;
    admission.add(ref);
    decision.start.push_back({.node = ref, .share = 1.0, .reason = "the worker is free and it has waited longest"});
  }
  return decision;
}

}  // namespace jigsaw
