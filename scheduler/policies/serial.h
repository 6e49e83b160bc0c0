// Plain synchronous RL, as Verl runs it: one pipeline's step at a time has all workers.
#pragma once

#include "scheduler/policy.h"

namespace jigsaw {

class SerialPolicy : public Policy {
 public:
  std::string_view name() const override { return "serial"; }
  Decision choose(const Plan& plan, const Capacity& capacity, Clock::TimePoint now) const override;
};

}  // namespace jigsaw
