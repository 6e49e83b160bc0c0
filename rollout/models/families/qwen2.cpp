// Qwen2 and Qwen2.5: Llama with biases on q, k and v.
#include "rollout/models/families/family.h"

namespace jigsaw {

ModelFamily qwen2_family() {
  return {.name = "qwen2",
          .hf_class = "Qwen2ForCausalLM",
          .gguf_architecture = "qwen2",
          .qkv_bias = true,
          .sliding_window = true,
          .default_max_positions = 32768,
          .default_kv_heads = 32,
          .read_hf = read_qwen_window,
          .write_hf = write_qwen_window};
}

}  // namespace jigsaw
