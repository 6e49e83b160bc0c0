// Prompts whose keys and values are kept for their group: the first member computes the prompt, the others start from
// its blocks and from the logits of its last token. At most one prompt a group. Engine thread only; never blocks.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "rollout/engine/kv_block_pool.h"
#include "rollout/kernels/kernels.h"
#include "rollout/tokenizer/tokenizer.h"

namespace jigsaw {

//   absent --begin--> computing --publish--> ready --evict, clear, begin with another prompt--> absent
//                         |
//                         +--abandon--> absent
//
// What a member with some prompt finds in its group:
enum class PrefixState {
  kAbsent,     // nothing of use: it may begin()
  kComputing,  // another member computes this very prompt: worth waiting for
  kReady,      // find() returns it
  kAlone,      // no group (0), or another prompt is being computed in it: share nothing
};

struct CachedPrefix {
  KvBlockLease lease;         // ceil(prompt / 16) blocks; the last may hold more than the prompt
  std::vector<float> logits;  // of the prompt's last token
  kernels::LogSoftmaxStats stats;
};

class PrefixCache {
 public:
  // More ready entries than this are not kept: each holds a row of logits.
  explicit PrefixCache(int num_ready_max) : num_ready_max_(num_ready_max) {}

  PrefixState state(std::uint64_t group, std::span<const TokenId> prompt) const;
  // Of a kReady prefix; counts as use. Valid until it is evicted, cleared or begun again.
  const CachedPrefix& find(std::uint64_t group);

  void begin(std::uint64_t group, std::span<const TokenId> prompt);
  void publish(std::uint64_t group, CachedPrefix prefix);
  void abandon(std::uint64_t group);

  // Drops the least recently used ready entry; with `frees_only`, of those whose blocks nobody else holds. False when
  // there is none.
  bool evict(bool frees_only);
  // Blocks that would be free if all ready entries but that of `except_group` were dropped.
  int num_evictable_blocks(std::uint64_t except_group) const;
  // Drops all ready entries.
  void clear();

  template <typename Visit>
  void for_each_lease(Visit visit) const {
    for (const auto& [group, entry] : entries_) visit(entry.prefix.lease);
  }

 private:
  struct Entry {
    std::vector<TokenId> prompt;
    bool ready = false;
    std::uint64_t last_use = 0;
    CachedPrefix prefix;
  };
  std::map<std::uint64_t, Entry> entries_;
  int num_ready_max_;
  int num_ready_ = 0;
  std::uint64_t use_counter_ = 0;
};

}  // namespace jigsaw
