// Tells after each token of a completion whether it ends there: an end token, or the last byte of a stop string, which
// may have begun any number of tokens earlier. Looks at the completion only, not at the prompt. A value of its
// sequence.
#pragma once

#include <string>
#include <vector>

#include "rollout/engine/rollout_engine.h"

namespace jigsaw {

class StopMatcher {
 public:
  StopMatcher() = default;
  // `tokenizer` outlives this; needed only where `params` has stop strings. Stop strings are not empty.
  StopMatcher(const SamplingParams& params, const std::vector<TokenId>& eos_tokens, const Tokenizer* tokenizer);

  // True when the completion ends with `token`. Also when a stop string ends within its bytes, not only at their end.
  bool accept(TokenId token);
  // What came so far is no part of a stop string.
  void reset();

 private:
  // Knuth-Morris-Pratt: `matched` bytes of the text's end are the longest such prefix of `text`.
  struct Pattern {
    std::string text;
    std::vector<int> failure;  // failure[i]: longest proper border of text[0..i]
    int matched = 0;
    bool accept(char byte);
  };

  std::vector<TokenId> end_tokens_;
  std::vector<Pattern> patterns_;
  const Tokenizer* tokenizer_ = nullptr;
};

}  // namespace jigsaw
