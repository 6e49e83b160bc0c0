// Mistral: Llama with a sliding window. Its GGUF files say `llama` and are read as that family.
#include "rollout/models/families/family.h"

namespace jigsaw {
namespace {

Status read_hf(const JsonFields& fields, ModelConfig& config) {
  if (fields.is_null("sliding_window")) return ok_status();  // Mistral 7B v0.2 on: all positions are seen
  JIGSAW_ASSIGN_OR_RETURN(config.sliding_window, fields.integer("sliding_window", 4096, 1));
  return ok_status();
}

void write_hf(const ModelConfig& config, nlohmann::json& json) {
  json["sliding_window"] = nullptr;
  if (config.sliding_window > 0) json["sliding_window"] = config.sliding_window;
}

}  // namespace

ModelFamily mistral_family() {
  return {.name = "mistral",
          .hf_class = "MistralForCausalLM",
          .sliding_window = true,
          .default_max_positions = 131072,
          .default_kv_heads = 8,
          .default_bos = 1,
          .default_eos = 2,
          .read_hf = read_hf,
          .write_hf = write_hf};
}

}  // namespace jigsaw
