// Remembers what short pieces of text encode to, since few different words make up most of a text. Safe to use from
// several threads; each call holds a lock for one look-up. Bounded: a shard that is full forgets all it has.
#pragma once

#include <array>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "rollout/tokenizer/tokenizer.h"

namespace jigsaw {

class PieceCache {
 public:
  static constexpr std::size_t kPieceBytesMax = 64;
  static constexpr std::size_t kShards = 8;
  static constexpr std::size_t kPiecesPerShardMax = 4096;

  // Appends the tokens of `piece` to `out` if they are known.
  bool find(std::string_view piece, std::vector<TokenId>& out) const;
  // Ignores pieces above kPieceBytesMax.
  void insert(std::string_view piece, std::span<const TokenId> tokens);

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  struct Shard {
    mutable std::mutex mutex;
    std::unordered_map<std::string, std::vector<TokenId>, Hash, std::equal_to<>> tokens;  // guarded by mutex
  };
  static std::size_t shard_of(std::string_view piece) { return Hash()(piece) >> 8 & (kShards - 1); }

  std::array<Shard, kShards> shards_;
};

}  // namespace jigsaw
