#include "rollout/engine/stop_matcher.h"

#include <algorithm>

namespace jigsaw {

StopMatcher::StopMatcher(const SamplingParams& params, const std::vector<TokenId>& eos_tokens,
                         const Tokenizer* tokenizer)
    : end_tokens_(params.stop_tokens), tokenizer_(tokenizer) {
  if (!params.ignore_eos) end_tokens_.insert(end_tokens_.end(), eos_tokens.begin(), eos_tokens.end());
  for (const std::string& text : params.stop_strings) {
    CHECK(!text.empty() && tokenizer != nullptr);
    Pattern pattern{.text = text, .failure = std::vector<int>(text.size(), 0)};
    for (std::size_t i = 1; i < text.size(); ++i) {
      int border = pattern.failure[i - 1];
      while (border > 0 && text[i] != text[static_cast<std::size_t>(border)]) {
        border = pattern.failure[static_cast<std::size_t>(border) - 1];
      }
      pattern.failure[i] = border + (text[i] == text[static_cast<std::size_t>(border)] ? 1 : 0);
    }
    patterns_.push_back(std::move(pattern));
  }
}

bool StopMatcher::Pattern::accept(char byte) {
  while (matched > 0 && byte != text[static_cast<std::size_t>(matched)]) {
    matched = failure[static_cast<std::size_t>(matched) - 1];
  }
  if (byte == text[static_cast<std::size_t>(matched)]) ++matched;
  if (matched < static_cast<int>(text.size())) return false;
  matched = failure.back();
  return true;
}

void StopMatcher::reset() {
  for (Pattern& pattern : patterns_) pattern.matched = 0;
}

bool StopMatcher::accept(TokenId token) {
  bool ends = std::find(end_tokens_.begin(), end_tokens_.end(), token) != end_tokens_.end();
  if (patterns_.empty()) return ends;
  for (const char byte : tokenizer_->token_bytes(token)) {
    for (Pattern& pattern : patterns_) ends |= pattern.accept(byte);
  }
  return ends;
}

}  // namespace jigsaw
