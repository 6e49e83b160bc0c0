// Configuration and weights of a model out of a GGUF file.
#pragma once

#include "core/result.h"
#include "rollout/models/gguf_file.h"
#include "rollout/models/model_config.h"
#include "rollout/models/stored_weights.h"

namespace jigsaw {

Result<ModelConfig> read_gguf_config(const GgufFile& file);

// The tensors under their Hugging Face names; bytes are a loan from `file`. `config` is the file's own.
StoredWeights gguf_stored_weights(const GgufFile& file, const ModelConfig& config);

}  // namespace jigsaw
