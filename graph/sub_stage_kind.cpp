#include "graph/sub_stage_kind.h"

#include <array>

namespace jigsaw {
namespace {

constexpr std::array<std::string_view, kNumSubStageKinds> kNames = {
    "sync", "prefill", "decode.bulk", "decode.tail", "tool", "reward", "logprob", "update", "checkpoint"};

}  // namespace

std::string_view to_string(SubStageKind kind) { return kNames[static_cast<std::size_t>(kind)]; }

std::optional<SubStageKind> sub_stage_kind(std::string_view name) {
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    if (kNames[i] == name) return static_cast<SubStageKind>(i);
  }
  return std::nullopt;
}

}  // namespace jigsaw
