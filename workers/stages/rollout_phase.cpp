#include "workers/stages/rollout_phase.h"

#include <utility>

namespace jigsaw {
namespace {

// Places follow each other as in the graph: a turn after the first begins with the wait for tools.
std::pair<int, int> order_of(RolloutPhase::Place place) {
  return {place.turn, place.kind == SubStageKind::kTool ? -1 : static_cast<int>(place.kind)};
}

}  // namespace

std::optional<RolloutPhase::Place> RolloutPhase::enter(Place place) {
  if (order_of(place) <= order_of(place_)) return std::nullopt;
  return place_ = place;
}

std::optional<RolloutPhase::Place> RolloutPhase::after_pass(int num_rows, int num_waiting) {
  const bool may_be_prefill = place_.kind == SubStageKind::kPrefill || place_.kind == SubStageKind::kTool;
  if (may_be_prefill && (num_waiting > 0 || num_rows >= bins_.wide_from)) {
    return enter({SubStageKind::kPrefill, place_.turn});
  }
  const bool is_bulk = has_bulk_ && num_rows >= bins_.tail_below;
  return enter({is_bulk ? SubStageKind::kDecodeBulk : SubStageKind::kDecodeTail, place_.turn});
}

std::optional<RolloutPhase::Place> RolloutPhase::wait_for_tools() {
  if (place_.kind == SubStageKind::kTool || place_.turn + 1 >= num_turns_) return std::nullopt;
  return enter({SubStageKind::kTool, place_.turn + 1});
}

}  // namespace jigsaw
