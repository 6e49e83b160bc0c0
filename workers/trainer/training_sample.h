// A finished sample as training sees it: what the trajectory store keeps and what goes to the ranks. Plain values.
#pragma once

#include <cstdint>
#include <vector>

#include "rollout/models/token_run.h"

namespace jigsaw {

// What is known of a finished sample, without gradients.
struct TrainingSample {
  std::int64_t group = 0;
  double reward = 0;
  std::vector<std::int32_t> tokens;  // prompt + completion
  int prompt_length = 0;
  std::vector<TokenRun> given{};    // of the completion: not drawn by the policy but brought by a tool; ascending
  std::vector<float> old_logprobs;  // one a drawn token; empty: old = current without gradient
  std::vector<float> ref_logprobs;  // one a drawn token; empty unless beta > 0

  // Tokens of the completion that the policy has drawn: those that are trained.
  int completion_length() const {
    int length = static_cast<int>(tokens.size()) - prompt_length;
    for (const TokenRun& run : given) length -= run.length();
    return length;
  }
};

}  // namespace jigsaw
