// A tokenizer given by the bytes of each token, for tests of what works on token bytes.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "rollout/tokenizer/tokenizer.h"

namespace jigsaw::testing {

class FakeTokenizer final : public Tokenizer {
 public:
  explicit FakeTokenizer(std::vector<std::string> token_bytes) : token_bytes_(std::move(token_bytes)) {}

  std::vector<TokenId> encode(std::string_view) const override { CHECK_FAILED("the fake tokenizer cannot encode"); }
  std::vector<TokenId> encode_plain(std::string_view text) const override { return encode(text); }
  Result<std::string> decode(std::span<const TokenId> tokens) const override {
    std::string text;
    for (const TokenId token : tokens) text += token_bytes(token);
    return text;
  }
  std::string token_bytes(TokenId token) const override {
    if (token < 0 || token >= vocab_size()) return "";
    return token_bytes_[static_cast<std::size_t>(token)];
  }
  int vocab_size() const override { return static_cast<int>(token_bytes_.size()); }
  std::optional<TokenId> token_id(std::string_view) const override { return std::nullopt; }
  std::vector<TokenId> eos_tokens() const override { return {}; }
  Result<std::string> apply_chat_template(std::span<const ChatMessage>) const override {
    return Error(ErrorCode::kUnsupported, "the fake tokenizer has no chat template");
  }
  Status save(const std::filesystem::path&) const override {
    return Error(ErrorCode::kUnsupported, "the fake tokenizer has no file");
  }

 private:
  std::vector<std::string> token_bytes_;
};

}  // namespace jigsaw::testing
