// The tokenizer of a tokenizer.json: added tokens, normaliser, pre-tokenizer and byte-pair model in a row.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/result.h"
#include "rollout/tokenizer/added_tokens.h"
#include "rollout/tokenizer/bpe_model.h"
#include "rollout/tokenizer/chat_template.h"
#include "rollout/tokenizer/pre_tokenizer.h"
#include "rollout/tokenizer/tokenizer.h"
#include "rollout/tokenizer/tokenizer_config.h"
#include "rollout/tokenizer/tokenizer_files.h"

namespace jigsaw {

class BpeTokenizer final : public Tokenizer {
 public:
  static Result<std::unique_ptr<Tokenizer>> create(TokenizerFiles files);

  std::vector<TokenId> encode(std::string_view text) const override;
  std::vector<TokenId> encode_plain(std::string_view text) const override;
  Result<std::string> decode(std::span<const TokenId> tokens) const override;
  std::string token_bytes(TokenId token) const override;
  int vocab_size() const override;
  std::optional<TokenId> token_id(std::string_view text) const override;
  std::vector<TokenId> eos_tokens() const override;
  Result<std::string> apply_chat_template(std::span<const ChatMessage> messages) const override;
  Status save(const std::filesystem::path& folder) const override;

 private:
  struct Scratch {
    std::vector<AddedTokenFinder::Stretch> stretches;
    PreTokenizer::Pieces pieces;
    BpeModel::Scratch model;
  };

  BpeTokenizer(TokenizerFiles files, TokenizerConfig config, bool normalizes, AddedTokenFinder raw_tokens,
               AddedTokenFinder normalized_tokens, PreTokenizer pre_tokenizer, BpeModel model);

  // A stretch without raw added tokens, and a normalised one without any.
  void encode_stretch(std::string_view text, Scratch& scratch, std::vector<TokenId>& out) const;
  void encode_normalized(std::string_view text, Scratch& scratch, std::vector<TokenId>& out) const;

  TokenizerFiles files_;
  TokenizerConfig config_;
  Result<ChatTemplate>
      chat_template_;  // an error, for whoever asks for it, where there is none or it is not known here
  bool normalizes_;    // to NFC
  AddedTokenFinder raw_tokens_, normalized_tokens_;
  PreTokenizer pre_tokenizer_;
  BpeModel model_;
};

}  // namespace jigsaw
