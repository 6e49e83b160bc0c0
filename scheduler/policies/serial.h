// One pipeline at a time, a whole step each, in turn: what running pipelines one after the other on all workers costs.
// The baseline of `jigsaw compare` (plain synchronous RL).
#pragma once

#include "scheduler/policy.h"

namespace jigsaw {

class SerialPolicy : public Policy {
 public:
  std::string_view name() const override { return "serial"; }
  std::vector<DispatchChoice> choose(const Plan& plan, const Capacity& capacity, Clock::TimePoint now) const override;
};

}  // namespace jigsaw
