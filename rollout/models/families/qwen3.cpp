// Qwen3 (dense): RMS norms on q and k heads, no biases, a head_dim of its own.
#include "rollout/models/families/family.h"

namespace jigsaw {
namespace {

Status read_hf(const JsonFields& fields, ModelConfig& config) {
  JIGSAW_RETURN_IF_ERROR(refuse_if_set(fields, "attention_bias"));
  return read_qwen_window(fields, config);
}

void write_hf(const ModelConfig& config, nlohmann::json& json) {
  json["attention_bias"] = false;
  write_qwen_window(config, json);
}

}  // namespace

ModelFamily qwen3_family() {
  return {.name = "qwen3",
          .hf_class = "Qwen3ForCausalLM",
          .gguf_architecture = "qwen3",
          .qk_norm = true,
          .sliding_window = true,
          .default_max_positions = 32768,
          .default_kv_heads = 32,
          .default_head_dim = 128,
          .read_hf = read_hf,
          .write_hf = write_hf};
}

}  // namespace jigsaw
