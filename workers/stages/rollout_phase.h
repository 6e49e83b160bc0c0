// Which sub-stage a rollout is in, from the width of its passes. Only forward, never back: preemption may widen the
// passes again, and the rollout stays where it is.
//
//   kPrefill --(queue empty, pass narrow)--> kDecodeBulk --(pass narrower)--> kDecodeTail --(engine empty)--> kReward
//       ^                                                                         |
//       +------------------ kTool <-----(all completions wait for tools)----------+    the next turn, if there is one
//
// Sub-stages may be skipped. A rollout of fewer samples than bins.tail_below has no kDecodeBulk (graph/graph.cpp).
#pragma once

#include <optional>

#include "graph/sub_stage_kind.h"

namespace jigsaw {

class RolloutPhase {
 public:
  struct Place {
    SubStageKind kind = SubStageKind::kPrefill;
    int turn = 0;
    bool operator==(const Place&) const = default;
  };

  // As many turns as the graph has.
  RolloutPhase(TokenBins bins, int num_samples, int num_turns)
      : bins_(bins), has_bulk_(num_samples >= bins.tail_below), num_turns_(num_turns) {}

  SubStageKind kind() const { return place_.kind; }
  // All return the place when it has changed.
  // After a pass of `num_rows` rows that left `num_waiting` sequences in the engine's queue.
  std::optional<Place> after_pass(int num_rows, int num_waiting);
  // All completions that have not ended wait for tools. Those of the last turn wait where they are: completions that
  // are out of step with each other can wait more often than each of them calls.
  std::optional<Place> wait_for_tools();
  // All completions have ended and some rewards are still out.
  std::optional<Place> wait_for_rewards() { return enter({SubStageKind::kReward, num_turns_ - 1}); }

 private:
  std::optional<Place> enter(Place place);

  TokenBins bins_;
  bool has_bulk_;
  int num_turns_;
  Place place_;
};

}  // namespace jigsaw
