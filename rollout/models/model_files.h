// Models on disk: Hugging Face folders (config.json, *.safetensors) and GGUF files. Bytes are untrusted: sizes and
// offsets are checked against the file before anything is allocated, and errors name file, place and fix.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "core/result.h"
#include "rollout/models/model_config.h"
#include "rollout/models/policy_weights.h"

namespace jigsaw {

// `path`: a folder with config.json, or a .gguf file.
Result<ModelConfig> read_model_config(const std::filesystem::path& path);
// Reads and widens all weights to fp32. Every parameter must be there with its shape, and nothing unknown.
Result<std::unique_ptr<PolicyWeights>> load_model(const std::filesystem::path& path);

// Writes config.json and model.safetensors (F32) into `folder` (which exists), so that transformers loads it.
Status save_hf_model(const PolicyWeights& weights, const std::filesystem::path& folder);

// For `jigsaw inspect`: one tensor of a file as stored.
struct StoredTensor {
  std::string name, type;
  std::vector<std::int64_t> shape;
  std::uint64_t num_bytes = 0;
  std::string file;
};
Result<std::vector<StoredTensor>> list_tensors(const std::filesystem::path& path);

}  // namespace jigsaw
