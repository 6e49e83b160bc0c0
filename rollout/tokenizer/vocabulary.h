// The tokens of a model: id -> bytes, and the reverse. Filled while a tokenizer is made, then immutable and safe to
// share.
#pragma once

#include <optional>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "rollout/tokenizer/tokenizer.h"

namespace jigsaw {

class Vocabulary {
 public:
  // Ids may leave holes, but not so many that a hostile id costs memory.
  static constexpr std::int64_t kIdsMax = 1 << 22;
  static constexpr std::int64_t kHolesMax = 1 << 16;

  // One past the largest id that will be added.
  void reserve_ids(std::int64_t num_ids) { spans_.resize(static_cast<std::size_t>(num_ids)); }
  std::int64_t num_ids() const { return static_cast<std::int64_t>(spans_.size()); }

  // `id` must be below num_ids() and free. `bytes`: what it decodes to. Where `is_text` is false, text never becomes
  // this token by find().
  void add(TokenId id, std::string_view bytes, bool is_text);
  // Sorts out find(); to be called once, after the last add().
  void finish();

  bool contains(TokenId id) const;
  // Empty for an id that is not there.
  std::string_view bytes(TokenId id) const;
  std::optional<TokenId> find(std::string_view bytes) const;

 private:
  struct Span {
    std::size_t begin = 0;
    std::uint32_t size = 0;
    bool is_used = false, is_text = false;
  };
  std::vector<char> arena_;
  std::vector<Span> spans_;
  std::unordered_map<std::string_view, TokenId> ids_;  // keys point into arena_
};

}  // namespace jigsaw
