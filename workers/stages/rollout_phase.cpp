#include "workers/stages/rollout_phase.h"

namespace jigsaw {

std::optional<SubStageKind> RolloutPhase::enter(SubStageKind kind) {
  if (kind <= kind_) return std::nullopt;
  kind_ = kind;
  return kind;
}

std::optional<SubStageKind> RolloutPhase::after_pass(int num_rows, int num_waiting) {
  if (kind_ == SubStageKind::kPrefill && (num_waiting > 0 || num_rows >= bins_.wide_from)) return std::nullopt;
  const bool is_bulk = has_bulk_ && num_rows >= bins_.tail_below;
  return enter(is_bulk ? SubStageKind::kDecodeBulk : SubStageKind::kDecodeTail);
}

}  // namespace jigsaw
