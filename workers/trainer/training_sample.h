// A finished sample as training sees it: what the trajectory store keeps and what goes to the ranks. Plain values.
#pragma once

#include <cstdint>
#include <vector>

namespace jigsaw {

// What is known of a finished sample, without gradients.
struct TrainingSample {
  std::int64_t group = 0;
  double reward = 0;
  std::vector<std::int32_t> tokens;  // prompt + completion
  int prompt_length = 0;
  std::vector<float> old_logprobs;  // one a completion token; empty: old = current without gradient
  std::vector<float> ref_logprobs;  // one a completion token; empty unless beta > 0
  int completion_length() const { return static_cast<int>(tokens.size()) - prompt_length; }
};

}  // namespace jigsaw
