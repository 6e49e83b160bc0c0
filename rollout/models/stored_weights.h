// The weights of a model as its files hold them, under their Hugging Face names, whatever the format; and how they
// become PolicyWeights.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/result.h"
#include "rollout/models/model_config.h"
#include "rollout/models/policy_weights.h"

namespace jigsaw {

struct StoredWeight {
  std::string hf_name;               // empty: belongs to no model we know
  std::string stored_name;           // as in the file
  std::string type;                  // "F32", "Q4_1", ... as in the file
  std::vector<std::int64_t> shape;   // [rows, cols] or [length]
  std::span<const std::byte> bytes;  // as many as shape and type say
  std::string file;                  // for errors
  // Above 0: rows come in heads of so many, with the two rotary channels of a pair side by side (GGUF's llama q and k).
  int rotary_adjacent_head_dim = 0;
};

// The bytes are a loan from mapped files that the caller keeps.
struct StoredWeights {
  std::string place;  // folder or file, for errors
  std::vector<StoredWeight> weights;
  std::string (*stored_spelling)(const std::string& hf_name) = nullptr;  // null: the Hugging Face name itself
};

// Checks that every parameter of `config` (valid) is there with its shape, and nothing else, and only then allocates:
// the buffer is then at most some times the size of the files.
Result<std::unique_ptr<PolicyWeights>> assemble_weights(const ModelConfig& config, const StoredWeights& stored);

}  // namespace jigsaw
