// Byte-pair encoding of one piece of text: the "model" of a tokenizer.json. Immutable once made (its cache aside, which
// locks); may be used from several threads.
//
// Symbols are bytes where the pre-tokenizer has a ByteLevel, characters otherwise. A symbol that is not in the
// vocabulary becomes the unknown token where the file names one, and is dropped otherwise.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "rollout/tokenizer/json_place.h"
#include "rollout/tokenizer/merge_table.h"
#include "rollout/tokenizer/piece_cache.h"
#include "rollout/tokenizer/vocabulary.h"

namespace jigsaw {

class BpeModel {
 public:
  // A token beyond the model's own vocabulary: an added token.
  struct ExtraToken {
    TokenId id;
    std::string spelled;  // as the tokens of the vocabulary are
  };
  static Result<BpeModel> from_json(const JsonPlace& model, bool is_byte_level, const std::vector<ExtraToken>& extra);

  const Vocabulary& vocabulary() const { return *vocabulary_; }
  // Whether every byte has a symbol, so that any text can be encoded without loss.
  bool is_byte_complete() const;

  // What encode() works in; reused from piece to piece to save allocations.
  struct Scratch {
    struct Symbol {
      TokenId token;
      std::uint32_t previous, next;
    };
    struct Candidate {
      std::uint64_t order;  // rank, then place
      TokenId token;
    };
    std::vector<Symbol> symbols;
    std::vector<Candidate> heap;
  };
  // Appends the tokens of `piece` (valid UTF-8, below 2^32 bytes). O(n log n) in its length.
  void encode(std::string_view piece, Scratch& scratch, std::vector<TokenId>& out) const;

 private:
  Status read_options(const JsonPlace& model);
  Status read_vocabulary(const JsonPlace& model, const std::vector<ExtraToken>& extra);
  Status read_merges(const JsonPlace& model);

  void make_symbols(std::string_view piece, std::vector<Scratch::Symbol>& symbols) const;
  void merge_symbols(Scratch& scratch) const;
  void offer(Scratch& scratch, std::uint32_t left) const;

  bool is_byte_level_ = false;
  bool ignore_merges_ = false;
  bool fuse_unknown_ = false;
  std::optional<TokenId> unknown_;
  std::unique_ptr<Vocabulary> vocabulary_ = std::make_unique<Vocabulary>();
  std::array<TokenId, 256> byte_tokens_{};  // -1: the byte has no symbol
  MergeTable merges_;
  std::unique_ptr<PieceCache> cache_ = std::make_unique<PieceCache>();
};

}  // namespace jigsaw
