// config.json of a Hugging Face folder, as written by transformers 4 and 5.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/result.h"
#include "rollout/models/model_config.h"

namespace jigsaw {

// Reads `folder`/config.json; the end tokens also from generation_config.json, which wins, as in transformers.
Result<ModelConfig> read_hf_config(const std::filesystem::path& folder);

// What read_hf_config and transformers (4 and 5) read back as the same model. `config` must be valid.
nlohmann::json to_hf_config(const ModelConfig& config);

}  // namespace jigsaw
