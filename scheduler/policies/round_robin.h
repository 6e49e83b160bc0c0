// Temporal multiplexing of whole phases, after RollMux (arXiv 2512.11306): a worker runs one phase at a time (a rollout
// with its waits, log-probs, an update), and pipelines take turns phase by phase.
#pragma once

#include "scheduler/policy.h"

namespace jigsaw {

class RoundRobinPolicy : public Policy {
 public:
  std::string_view name() const override { return "round_robin"; }
  Decision choose(const Plan& plan, const Capacity& capacity, Clock::TimePoint now) const override;
};

}  // namespace jigsaw
