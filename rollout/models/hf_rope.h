// The rotary settings of config.json in both spellings: rope_theta + rope_scaling (transformers 4) and rope_parameters
// (transformers 5).
#pragma once

#include <nlohmann/json.hpp>

#include "core/result.h"
#include "rollout/models/json_file.h"
#include "rollout/models/model_config.h"

namespace jigsaw {

// `max_positions` stands in for a missing original_max_position_embeddings, as in transformers.
Result<RopeConfig> read_hf_rope(const JsonFields& fields, int max_positions);
// Writes the older spelling, which both read.
void write_hf_rope(const RopeConfig& rope, nlohmann::json& json);

}  // namespace jigsaw
