// The sliding window as Qwen's configurations spell it: off unless use_sliding_window, and only from layer
// max_window_layers on (layer_types, where given, says the same layer by layer).
#include <algorithm>

#include "rollout/models/families/family.h"

namespace jigsaw {
namespace {

constexpr const char* kFull = "full_attention";
constexpr const char* kSliding = "sliding_attention";

// The number of leading full_attention layers; all others must slide.
Result<int> read_layer_types(const JsonFields& fields, const nlohmann::json& types, int num_layers) {
  constexpr std::string_view kKey = "layer_types";
  if (!types.is_array() || types.size() != static_cast<std::size_t>(num_layers)) {
    return fields.error(ErrorCode::kCorrupt, kKey, "must list one type for each of the num_hidden_layers");
  }
  const auto first_sliding = std::find(types.begin(), types.end(), kSliding);
  if (!std::all_of(types.begin(), first_sliding, [](const auto& type) { return type == kFull; }) ||
      !std::all_of(first_sliding, types.end(), [](const auto& type) { return type == kSliding; })) {
    return fields.error(ErrorCode::kUnsupported, kKey,
                        "only full_attention layers followed by sliding_attention layers can be computed");
  }
  return static_cast<int>(first_sliding - types.begin());
}

}  // namespace

Status read_qwen_window(const JsonFields& fields, ModelConfig& config) {
  JIGSAW_ASSIGN_OR_RETURN(const bool enabled, fields.boolean("use_sliding_window", false));
  if (!enabled || fields.is_null("sliding_window")) return ok_status();
  JIGSAW_ASSIGN_OR_RETURN(const int window, fields.integer("sliding_window", 4096, 1));
  JIGSAW_ASSIGN_OR_RETURN(int full_layers, fields.integer("max_window_layers", 28));
  if (const nlohmann::json* types = fields.find("layer_types")) {
    JIGSAW_ASSIGN_OR_RETURN(full_layers, read_layer_types(fields, *types, config.num_layers));
  }
  if (full_layers >= config.num_layers) return ok_status();
  config.sliding_window = window;
  config.full_attention_layers = full_layers;
  return ok_status();
}

void write_qwen_window(const ModelConfig& config, nlohmann::json& json) {
  const bool enabled = config.sliding_window > 0;
  json["use_sliding_window"] = enabled;
  json["sliding_window"] = nullptr;
  if (enabled) json["sliding_window"] = config.sliding_window;
  json["max_window_layers"] = enabled ? config.full_attention_layers : config.num_layers;
}

}  // namespace jigsaw
