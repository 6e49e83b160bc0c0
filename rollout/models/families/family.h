// A model family: what distinguishes a kind of decoder from the others, in its files and in its arithmetic. One file a
// family in this folder, one row a family in registry.cpp.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "rollout/models/json_file.h"
#include "rollout/models/model_config.h"

namespace jigsaw {

struct ModelFamily {
  std::string_view name;                 // `model_type` of config.json
  std::string_view hf_class;             // "LlamaForCausalLM": the entry of `architectures`
  std::string_view gguf_architecture{};  // `general.architecture`; empty where GGUF files name another family's
  // GGUF stores the two rotary channels of a pair side by side in q and k rows.
  bool gguf_rotary_adjacent = false;

  bool qkv_bias = false;
  bool qk_norm = false;
  bool sliding_window = false;  // may have one

  // What transformers takes where config.json leaves a field out. 0: derived (kv heads = heads, head_dim = hidden /
  // heads).
  int default_max_positions = 0;
  int default_kv_heads = 0;
  int default_head_dim = 0;
  int default_bos = -1, default_eos = -1;  // -1: none

  // Reads what is special to the family, after the common fields: refuses what it cannot compute. May be null.
  Status (*read_hf)(const JsonFields& fields, ModelConfig& config) = nullptr;
  // Writes the same. May be null.
  void (*write_hf)(const ModelConfig& config, nlohmann::json& json) = nullptr;
};

ModelFamily llama_family();
ModelFamily mistral_family();
ModelFamily qwen2_family();
ModelFamily qwen3_family();

// All of them. In the table's order the first with a GGUF architecture is that architecture's family.
const std::vector<ModelFamily>& model_families();
// The error of an unknown name lists the known ones.
Result<const ModelFamily*> find_family(std::string_view name);
Result<const ModelFamily*> find_gguf_family(std::string_view architecture);

// ---- Shared by families -------------------------------------------------------------------------------------------
// Refuses `key: true` (e.g. attention_bias), saying that the family's biases cannot be computed here.
Status refuse_if_set(const JsonFields& fields, std::string_view key);
// qwen's use_sliding_window, sliding_window, max_window_layers and layer_types.
Status read_qwen_window(const JsonFields& fields, ModelConfig& config);
void write_qwen_window(const ModelConfig& config, nlohmann::json& json);

}  // namespace jigsaw
