#include "rollout/models/model_config.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "rollout/models/families/family.h"

namespace jigsaw {
namespace {

// Far above any model there is, and low enough that no product of two of them leaves 64 bits.
constexpr std::int64_t kWidthMax = std::int64_t{1} << 20;
constexpr std::int64_t kVocabMax = std::int64_t{1} << 24;
constexpr std::int64_t kLayersMax = 4096;
constexpr std::int64_t kHeadDimMax = 4096;

Status check_range(std::string_view name, std::int64_t value, std::int64_t max) {
  if (value >= 1 && value <= max) return ok_status();
  return Error(ErrorCode::kInvalidArgument,
               std::string(name) + ": " + std::to_string(value) + " is not in 1.." + std::to_string(max));
}

Status check_rope(const RopeConfig& rope) {
  const auto invalid = [](std::string message) { return Error(ErrorCode::kInvalidArgument, std::move(message)); };
  if (!(rope.theta > 0) || !(rope.theta < 1e30)) return invalid("rope_theta: must be above 0");
  if (rope.kind == RopeConfig::Kind::kDefault) return ok_status();
  if (!(rope.factor >= 1) || !(rope.factor < 1e9)) return invalid("rope factor: must be 1 or more");
  if (rope.kind != RopeConfig::Kind::kLlama3) return ok_status();
  if (!(rope.low_freq_factor > 0) || !(rope.high_freq_factor > rope.low_freq_factor) ||
      !(rope.high_freq_factor < 1e9)) {
    return invalid("rope low_freq_factor: must be above 0 and below high_freq_factor");
  }
  if (rope.original_max_positions < 1) return invalid("rope original_max_position_embeddings: must be above 0");
  return ok_status();
}

// That the switches are those of the family, since its files could say nothing else.
Status check_family(const ModelConfig& config) {
  JIGSAW_ASSIGN_OR_RETURN(const ModelFamily* family, find_family(config.family));
  const auto invalid = [&](const std::string& key, bool wanted) {
    return Error(ErrorCode::kInvalidArgument,
                 key + ": must be " + (wanted ? "true" : "false") + " for the family " + config.family);
  };
  if (config.qkv_bias != family->qkv_bias) return invalid("qkv_bias", family->qkv_bias);
  if (config.qk_norm != family->qk_norm) return invalid("qk_norm", family->qk_norm);
  if (config.sliding_window > 0 && !family->sliding_window) {
    return Error(ErrorCode::kInvalidArgument, "sliding_window: the family " + config.family + " has none");
  }
  return ok_status();
}

}  // namespace

Status validate(const ModelConfig& config) {
  JIGSAW_RETURN_IF_ERROR(check_range("hidden_size", config.hidden_size, kWidthMax));
  JIGSAW_RETURN_IF_ERROR(check_range("intermediate_size", config.intermediate_size, kWidthMax));
  JIGSAW_RETURN_IF_ERROR(check_range("num_layers", config.num_layers, kLayersMax));
  JIGSAW_RETURN_IF_ERROR(check_range("num_heads", config.num_heads, kWidthMax));
  JIGSAW_RETURN_IF_ERROR(check_range("num_kv_heads", config.num_kv_heads, config.num_heads));
  JIGSAW_RETURN_IF_ERROR(check_range("head_dim", config.head_dim, kHeadDimMax));
  JIGSAW_RETURN_IF_ERROR(check_range("vocab_size", config.vocab_size, kVocabMax));
  JIGSAW_RETURN_IF_ERROR(check_range("max_positions", config.max_positions, std::int64_t{1} << 30));
  JIGSAW_RETURN_IF_ERROR(
      check_range("num_heads x head_dim", std::int64_t{config.num_heads} * config.head_dim, kWidthMax));
  const auto invalid = [](std::string message) { return Error(ErrorCode::kInvalidArgument, std::move(message)); };
  if (config.num_heads % config.num_kv_heads != 0) {
    return invalid("num_kv_heads: " + std::to_string(config.num_kv_heads) + " does not divide num_heads " +
                   std::to_string(config.num_heads));
  }
  if (config.head_dim % 2 != 0) return invalid("head_dim: " + std::to_string(config.head_dim) + " is odd");
  if (!(config.rms_norm_eps > 0) || !(config.rms_norm_eps < 1)) return invalid("rms_norm_eps: must be in (0, 1)");
  if (config.sliding_window < 0) return invalid("sliding_window: must be 0 (none) or more");
  JIGSAW_RETURN_IF_ERROR(check_rope(config.rope));
  return check_family(config);
}

}  // namespace jigsaw
