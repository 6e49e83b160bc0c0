#include "tests/fuzz/fuzz_targets.h"

#include <array>

namespace jigsaw::fuzz {

std::span<const Target> targets() {
  static constexpr std::array kTargets = {
      Target{"safetensors", &safetensors, 2000},
      Target{"model_config", &model_config, 2000},
      Target{"gguf", &gguf, 2000},
      Target{"tokenizer_json", &tokenizer_json, 1000},
      Target{"tokenizer_text", &tokenizer_text, 500},
      Target{"chat_template", &chat_template, 3000},
      Target{"job_yaml", &job_yaml, 500},
      Target{"data_line", &data_line, 3000},
      Target{"command_reply", &command_reply, 5000},
      Target{"tool_reply", &tool_reply, 5000},
      Target{"from_worker", &from_worker, 200},
      Target{"control_request", &control_request, 100},
      Target{"to_worker", &to_worker, 1000},
      Target{"moved_sequence", &moved_sequence, 3000},
      Target{"peer_message", &peer_message, 3000},
      Target{"gradient_message", &gradient_message, 3000},
  };
  return kTargets;
}

}  // namespace jigsaw::fuzz
