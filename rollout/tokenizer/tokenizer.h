// Text <-> token ids. Immutable once made, and safe to share between threads.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace jigsaw {

using TokenId = std::int32_t;

struct ChatMessage {
  std::string role, content;
};

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // As conventions.md, "Tokenizers": added tokens in the text are parsed, none are added. Any bytes are accepted: each
  // maximal part that is no UTF-8 counts as one U+FFFD.
  virtual std::vector<TokenId> encode(std::string_view text) const = 0;
  // The same for text that others wrote: what reads like an added token in it is no token but its characters.
  virtual std::vector<TokenId> encode_plain(std::string_view text) const = 0;
  // Keeps special tokens; invalid UTF-8 becomes U+FFFD. Ids out of range are an error.
  virtual Result<std::string> decode(std::span<const TokenId> tokens) const = 0;
  // The raw bytes of one token, for streaming and stop strings; empty for an id out of range.
  virtual std::string token_bytes(TokenId token) const = 0;
  virtual int vocab_size() const = 0;
  // The token's id, if `text` is exactly one token of the vocabulary or an added token.
  virtual std::optional<TokenId> token_id(std::string_view text) const = 0;
  // The end-of-sequence ids that tokenizer files name (may be empty).
  virtual std::vector<TokenId> eos_tokens() const = 0;
  // Prompt text for a dialogue, ending where the assistant is to speak, by the template in the tokenizer's files: equal
  // to transformers' apply_chat_template, or an error that names what of the template is not known here.
  virtual Result<std::string> apply_chat_template(std::span<const ChatMessage> messages) const = 0;
  // Writes tokenizer.json (and tokenizer_config.json) for a checkpoint folder, such that load_tokenizer and
  // transformers read it back.
  virtual Status save(const std::filesystem::path& folder) const = 0;
};

// `path`: a folder with tokenizer.json (+ tokenizer_config.json, chat_template.jinja), or a .gguf file.
Result<std::unique_ptr<Tokenizer>> load_tokenizer(const std::filesystem::path& path);

// For policies trained from scratch. Byte: ids 0..255 are bytes. Characters: one id a character of `alphabet` (UTF-8);
// characters not in it are dropped by encode. Then follow <pad>, <bos>, <eos>, in this order.
std::unique_ptr<Tokenizer> make_byte_tokenizer();
Result<std::unique_ptr<Tokenizer>> make_character_tokenizer(std::string_view alphabet);

}  // namespace jigsaw
