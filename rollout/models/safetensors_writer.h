// Writes policy weights as one safetensors file of F32 tensors under their Hugging Face names.
#pragma once

#include <filesystem>

#include "core/result.h"
#include "rollout/models/policy_weights.h"

namespace jigsaw {

// Atomic: see core/atomic_file.h.
Status write_safetensors(const PolicyWeights& weights, const std::filesystem::path& path);

}  // namespace jigsaw
