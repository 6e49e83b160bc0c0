// (left token, right token) -> (rank, merged token): a hash table without deletion, which is what encoding spends its
// time in. Filled while a tokenizer is made, then immutable and safe to share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "rollout/tokenizer/tokenizer.h"

namespace jigsaw {

struct Merge {
  std::uint32_t rank;  // lower goes first
  TokenId token;
};

class MergeTable {
 public:
  explicit MergeTable(std::size_t num_merges = 0);

  // At most `num_merges` pairs. A pair that is there already gets the new merge.
  void set(TokenId left, TokenId right, Merge merge);
  // Null where the two do not merge.
  const Merge* find(TokenId left, TokenId right) const;

 private:
  struct Slot {
    TokenId left = -1, right = -1;
    Merge merge{};
  };
  std::size_t slot_of(TokenId left, TokenId right) const;

  std::vector<Slot> slots_;  // a power of two, at most half full
};

}  // namespace jigsaw
