#include "scheduler/policies/greedy.h"

namespace jigsaw {

std::vector<DispatchChoice> GreedyPolicy::choose(const Plan& plan, const Capacity&, Clock::TimePoint) const {
  std::vector<DispatchChoice> choices;
  for (const NodeRef ref : plan.ready()) choices.push_back({ref, plan.spec(ref.pipeline).weight, "ready"});
  return choices;
}

}  // namespace jigsaw
