// As greedy, and long tails of a step go onto one worker as soon as two of them run, whatever it costs: shows what
// merging does by itself, and moves more than any other policy.
#pragma once

#include "scheduler/policy.h"

namespace jigsaw {

class GreedyMergePolicy : public Policy {
 public:
  std::string_view name() const override { return "greedy_merge"; }
  Decision choose(const Plan& plan, const Capacity& capacity, Clock::TimePoint now) const override;
};

}  // namespace jigsaw
