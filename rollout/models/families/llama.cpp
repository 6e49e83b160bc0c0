// Llama 1 to 3 and what is built alike (SmolLM2, TinyLlama).
#include "rollout/models/families/family.h"

namespace jigsaw {
namespace {

Status read_hf(const JsonFields& fields, ModelConfig&) {
  // transformers' llama with attention_bias has one on the output projection too, which no published model uses.
  JIGSAW_RETURN_IF_ERROR(refuse_if_set(fields, "attention_bias"));
  return refuse_if_set(fields, "mlp_bias");
}

void write_hf(const ModelConfig&, nlohmann::json& json) {
  json["attention_bias"] = false;
  json["mlp_bias"] = false;
}

}  // namespace

ModelFamily llama_family() {
  return {.name = "llama",
          .hf_class = "LlamaForCausalLM",
          .gguf_architecture = "llama",
          .gguf_rotary_adjacent = true,
          .default_max_positions = 2048,
          .default_bos = 1,
          .default_eos = 2,
          .read_hf = read_hf,
          .write_hf = write_hf};
}

}  // namespace jigsaw
