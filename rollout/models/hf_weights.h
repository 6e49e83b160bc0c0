// The safetensors files of a Hugging Face folder: model.safetensors, or the shards that model.safetensors.index.json
// names.
#pragma once

#include <filesystem>
#include <vector>

#include "core/result.h"
#include "rollout/models/safetensors_file.h"
#include "rollout/models/stored_weights.h"

namespace jigsaw {

struct HfWeights {
  std::vector<SafetensorsFile> files;  // keep the bytes of `stored` alive
  StoredWeights stored;
};

Result<HfWeights> open_hf_weights(const std::filesystem::path& folder);

}  // namespace jigsaw
