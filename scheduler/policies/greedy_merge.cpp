#include "scheduler/policies/greedy_merge.h"

#include <set>

#include "scheduler/policies/greedy.h"

namespace jigsaw {

Decision GreedyMergePolicy::choose(const Plan& plan, const Capacity& capacity, Clock::TimePoint now) const {
  Decision decision = GreedyPolicy().choose(plan, capacity, now);
  if (!capacity.can_merge) return decision;
  std::set<NodeRef> leaving, staying;
  const auto may_merge = [&](NodeRef from, NodeRef to) {
    const auto moving = plan.sequences(from, now), there = plan.sequences(to, now);
    return plan.can_merge(from, to) && moving && there && !staying.contains(from) && !leaving.contains(to) &&
           moving->running.count <= there->running.count;
  };
  for (const NodeRef from : plan.running()) {
    for (const NodeRef to : plan.running()) {
      if (!may_merge(from, to)) continue;
      leaving.insert(from);
      staying.insert(to);
      decision.merge.push_back({.from = from, .to = to, .reason = "both are long tails"});
      break;
    }
  }
  return decision;
}

}  // namespace jigsaw
