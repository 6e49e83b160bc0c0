// Spatial sharing of rollouts only, after MuxServe (arXiv 2404.02015): rollouts of several pipelines run together on a
// worker; training has its worker to itself, one pipeline at a time.
#pragma once

#include "scheduler/policy.h"

namespace jigsaw {

class RolloutSharingPolicy : public Policy {
 public:
  std::string_view name() const override { return "rollout_sharing"; }
  Decision choose(const Plan& plan, const Capacity& capacity, Clock::TimePoint now) const override;
};

}  // namespace jigsaw
