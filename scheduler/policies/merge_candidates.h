// Which long tails could merge (JigsawRL, arXiv 2604.23838, section 5: sub-stage merging): what the look-ahead policy
// scores.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "scheduler/policy.h"

namespace jigsaw {

struct MergeCandidate {
  std::vector<std::pair<NodeRef, NodeRef>> merges;  // from, to
  std::string action;
};

// Of each pipeline whose tails run on several workers: one half onto the other, all onto one, and one onto another; of
// two pipelines: the halves of both, in opposite directions. The targets are the workers where least else wants to
// compute. A merge is left out where the target has no room, in its KV cache for the longest completions known, or in
// passes that are still a tail's; so is a candidate that frees no worker that anything else wants.
//
// Few: pipelines beyond the first kMergingPipelinesMax are left alone. is_simulated tells of a worker whether the
// candidate's score counts it. Those that it does not merge among themselves as the others do.
inline constexpr std::size_t kMergingPipelinesMax = 4;
std::vector<MergeCandidate> merge_candidates(const Plan& plan, Clock::TimePoint now,
                                             const std::function<bool(int worker)>& is_simulated);

}  // namespace jigsaw
