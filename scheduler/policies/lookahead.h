// Looks ahead to the end of every pipeline's next step (JigsawRL, arXiv 2604.23838): each way to start, share or hold
// what is ready is scored by a simulation of the windows on predicted durations (outlook.h), and the best one is taken.
//
//   score = work of the whole job / predicted time to its end + 0.1 * mean speed by weight - penalties
//
// where work is in seconds alone and a speed is time alone / time in the window: the job's aggregate throughput in
// units of one pipeline by itself, and among equals the pipelines of more weight. Penalties: a pipeline slower than its
// latency_cap, or past its deadline. A beam of partial choices keeps the search small; ties fall to the earlier option:
// start before hold, shares by weight before others. A node that was held for as long as its pipeline's window takes
// alone is started (no starvation). What nothing is known of yet is started as `greedy` does; a pipeline whose
// prediction does not hold (drift) runs with nothing beside it.
#pragma once

#include "scheduler/policy.h"

namespace jigsaw {

class LookaheadPolicy : public Policy {
 public:
  std::string_view name() const override { return "lookahead"; }
  Decision choose(const Plan& plan, const Capacity& capacity, Clock::TimePoint now) const override;
};

}  // namespace jigsaw
