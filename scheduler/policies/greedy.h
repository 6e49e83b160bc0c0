// Starts whatever is ready and has room, by the pipelines' weights: the best next move, without a look at what comes
// after it.
#pragma once

#include "scheduler/policy.h"

namespace jigsaw {

class GreedyPolicy : public Policy {
 public:
  std::string_view name() const override { return "greedy"; }
  Decision choose(const Plan& plan, const Capacity& capacity, Clock::TimePoint now) const override;
};

}  // namespace jigsaw
