// Looks ahead to the end of every pipeline's next step (JigsawRL, arXiv 2604.23838): each way to start, share or hold
// what is ready is scored by a simulation of the windows on predicted durations (outlook.h), and the best one is taken.
//
//   score = sum over pipelines of weight * (time alone / predicted time) - penalties
//
// which is the aggregate throughput in units of each pipeline's own speed. Penalties: a pipeline slower than its
// latency_cap, or past its deadline. A beam of partial choices keeps the search small; ties fall to the earlier option:
// start before hold, equal shares before others. A node that was held for as long as its pipeline's window takes alone
// is started (no starvation). What nothing is known of yet is started as `greedy` does; a pipeline whose prediction
// does not hold (drift) runs with nothing beside it.
#pragma once

#include "scheduler/policy.h"

namespace jigsaw {

class LookaheadPolicy : public Policy {
 public:
  std::string_view name() const override { return "lookahead"; }
  Decision choose(const Plan& plan, const Capacity& capacity, Clock::TimePoint now) const override;
};

}  // namespace jigsaw
