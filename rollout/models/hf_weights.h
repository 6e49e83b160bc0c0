// The safetensors files of a Hugging Face folder: model.safetensors, or the shards that model.safetensors.index.json
// names.
#pragma once

#include <filesystem>
#include <vector>

#include "core/result.h"
#include "rollout/models/safetensors_file.h"
#include "rollout/models/stored_weights.h"

namespace jigsaw {

// All files of the folder's weights, checked against the index where there is one.
Result<std::vector<SafetensorsFile>> open_hf_files(const std::filesystem::path& folder);

// Their tensors; bytes are a loan from `files`.
StoredWeights hf_stored_weights(const std::filesystem::path& folder, const std::vector<SafetensorsFile>& files);

}  // namespace jigsaw
