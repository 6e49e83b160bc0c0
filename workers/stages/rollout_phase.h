// Which sub-stage a rollout is in, from the width of its passes. Only forward, never back: preemption may widen the
// passes again, and the rollout stays where it is.
//
//   kPrefill --(queue empty, pass narrow)--> kDecodeBulk --(pass narrower)--> kDecodeTail --(engine idle)--> kReward
//
// Sub-stages may be skipped. A rollout of fewer samples than bins.tail_below has no kDecodeBulk (graph/graph.cpp).
#pragma once

#include <optional>

#include "graph/sub_stage_kind.h"

namespace jigsaw {

class RolloutPhase {
 public:
  RolloutPhase(TokenBins bins, int num_samples) : bins_(bins), has_bulk_(num_samples >= bins.tail_below) {}

  SubStageKind kind() const { return kind_; }
  // Both return the kind when it has changed.
  // After a pass of `num_rows` rows that left `num_waiting` sequences in the engine's queue.
  std::optional<SubStageKind> after_pass(int num_rows, int num_waiting);
  // All completions have ended and some rewards are still out.
  std::optional<SubStageKind> wait_for_rewards() { return enter(SubStageKind::kReward); }

 private:
  std::optional<SubStageKind> enter(SubStageKind kind);

  TokenBins bins_;
  bool has_bulk_;
  SubStageKind kind_ = SubStageKind::kPrefill;
};

}  // namespace jigsaw
