// The sliding window as Qwen's configurations spell it: off unless use_sliding_window, and only from layer
// max_window_layers on (layer_types, where given, says the same layer by layer). Published configurations leave it off;
// here all layers have it or none.
#include <algorithm>
#include <string_view>

#include "rollout/models/families/family.h"

namespace jigsaw {
namespace {

// How many layers slide.
Result<int> count_sliding(const JsonFields& fields, int num_layers) {
  constexpr std::string_view kKey = "layer_types";
  const nlohmann::json* types = fields.find(kKey);
  if (types == nullptr) {
    JIGSAW_ASSIGN_OR_RETURN(const int num_full, fields.integer("max_window_layers", 28));
    return std::max(num_layers - num_full, 0);
  }
  if (!types->is_array() || types->size() != static_cast<std::size_t>(num_layers)) {
    return fields.error(ErrorCode::kCorrupt, kKey, "must list one type for each of the num_hidden_layers");
  }
  const auto num_sliding = std::count(types->begin(), types->end(), "sliding_attention");
  if (num_sliding + std::count(types->begin(), types->end(), "full_attention") != num_layers) {
    return fields.error(ErrorCode::kUnsupported, kKey, "only full_attention and sliding_attention are known");
  }
  return static_cast<int>(num_sliding);
}

}  // namespace

Status read_qwen_window(const JsonFields& fields, ModelConfig& config) {
  JIGSAW_ASSIGN_OR_RETURN(const bool enabled, fields.boolean("use_sliding_window", false));
  if (!enabled || fields.is_null("sliding_window")) return ok_status();
  JIGSAW_ASSIGN_OR_RETURN(const int window, fields.integer("sliding_window", 4096, 1));
  JIGSAW_ASSIGN_OR_RETURN(const int num_sliding, count_sliding(fields, config.num_layers));
  if (num_sliding == 0) return ok_status();
  if (num_sliding < config.num_layers) {
    return fields.error(ErrorCode::kUnsupported, "use_sliding_window",
                        "only " + std::to_string(num_sliding) + " of " + std::to_string(config.num_layers) +
                            " layers would have the window; all or none can be computed");
  }
  config.sliding_window = window;
  return ok_status();
}

void write_qwen_window(const ModelConfig& config, nlohmann::json& json) {
  const bool enabled = config.sliding_window > 0;
  json["use_sliding_window"] = enabled;
  json["sliding_window"] = nullptr;
  if (enabled) json["sliding_window"] = config.sliding_window;
  json["max_window_layers"] = enabled ? 0 : config.num_layers;
}

}  // namespace jigsaw
