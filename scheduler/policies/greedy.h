// Starts whatever is ready; pipelines on one worker share it by their weights.
#pragma once

#include "scheduler/policy.h"

namespace jigsaw {

class GreedyPolicy : public Policy {
 public:
  std::string_view name() const override { return "greedy"; }
  std::vector<DispatchChoice> choose(const Plan& plan, const Capacity& capacity, Clock::TimePoint now) const override;
};

}  // namespace jigsaw
