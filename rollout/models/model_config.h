// What a decoder-only transformer looks like, whatever file it came from. Plain values; const once loaded.
#pragma once

#include <string>
#include <vector>

#include "core/result.h"

namespace jigsaw {

// Rotary embedding: channel i is paired with channel i + head_dim/2 (conventions.md, "Models").
struct RopeConfig {
  enum class Kind { kDefault, kLinear, kLlama3 };
  Kind kind = Kind::kDefault;
  double theta = 10000.0;
  double factor = 1.0;                // kLinear and kLlama3
  double low_freq_factor = 1.0;       // kLlama3
  double high_freq_factor = 4.0;      // kLlama3
  int original_max_positions = 8192;  // kLlama3

  bool operator==(const RopeConfig&) const = default;
};

struct ModelConfig {
  std::string family;  // "llama", "mistral", "qwen2", "qwen3": HF's model_type
  int hidden_size = 0;
  int intermediate_size = 0;
  int num_layers = 0;
  int num_heads = 0;
  int num_kv_heads = 0;  // divides num_heads
  int head_dim = 0;      // even; need not equal hidden_size / num_heads
  int vocab_size = 0;
  int max_positions = 0;  // longest sequence the model was made for, in tokens
  float rms_norm_eps = 1e-5f;
  bool tied_embeddings = false;  // the output matrix is the embedding
  bool qkv_bias = false;         // qwen2
  bool qk_norm = false;          // qwen3: RMS norm over head_dim of every q and k head before rope
  int sliding_window = 0;        // positions seen, itself included; 0 = all before
  RopeConfig rope;
  std::vector<int> eos_tokens;  // any of them ends a rollout
  int bos_token = -1;           // -1: none

  bool operator==(const ModelConfig&) const = default;
  int q_size() const { return num_heads * head_dim; }
  int kv_size() const { return num_kv_heads * head_dim; }
};

// That the family is known and has these features, and all sizes are positive, fit together, and are small enough that
// their products fit 64 bits. Loaders call it; who makes a config otherwise (YAML) calls it before PolicyWeights, which
// trusts its config.
Status validate(const ModelConfig& config);

}  // namespace jigsaw
