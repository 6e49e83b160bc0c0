// The kinds of sub-stages: intervals on one worker in which a pipeline's use of it is about uniform (JigsawRL,
// arXiv 2604.23838, section 3).
#pragma once

#include <optional>
#include <string_view>

namespace jigsaw {

enum class SubStageKind {
  kSync,        // the trained weights become those of the rollout
  kPrefill,     // rollout, while samples wait for their turn or passes are wide
  kDecodeBulk,  // rollout, passes of middling width
  kDecodeTail,  // rollout, narrow passes: the stragglers
  kTool,        // rollout, all samples wait for tools
  kReward,      // rollout, all completions have ended and some rewards are still out
  kLogprob,
  kUpdate,
  kCheckpoint,
};
inline constexpr int kNumSubStageKinds = 9;

std::string_view to_string(SubStageKind kind);  // "decode.bulk"
std::optional<SubStageKind> sub_stage_kind(std::string_view name);

// Part of a rollout: one dispatch carries a worker through all of them.
constexpr bool is_rollout(SubStageKind kind) { return kind >= SubStageKind::kPrefill && kind <= SubStageKind::kReward; }
// Waits for others and leaves the worker idle.
constexpr bool is_wait(SubStageKind kind) { return kind == SubStageKind::kTool || kind == SubStageKind::kReward; }

// Edges between prefill, bulk and tail, in tokens of one pass.
struct TokenBins {
  int tail_below = 8;
  int wide_from = 64;
};

}  // namespace jigsaw
