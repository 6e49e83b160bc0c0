#include "rollout/tokenizer/piece_cache.h"

namespace jigsaw {

bool PieceCache::find(std::string_view piece, std::vector<TokenId>& out) const {
  if (piece.size() > kPieceBytesMax) return false;
  const Shard& shard = shards_[shard_of(piece)];
  const std::lock_guard lock(shard.mutex);
  const auto found = shard.tokens.find(piece);
  if (found == shard.tokens.end()) return false;
  out.insert(out.end(), found->second.begin(), found->second.end());
  return true;
}

void PieceCache::insert(std::string_view piece, std::span<const TokenId> tokens) {
  if (piece.size() > kPieceBytesMax) return;
  Shard& shard = shards_[shard_of(piece)];
  const std::lock_guard lock(shard.mutex);
  if (shard.tokens.size() >= kPiecesPerShardMax) shard.tokens.clear();
  shard.tokens.emplace(piece, std::vector<TokenId>(tokens.begin(), tokens.end()));
}

}  // namespace jigsaw
