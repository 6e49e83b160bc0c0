#include "rollout/engine/prefix_cache.h"

#include <algorithm>
#include <utility>

namespace jigsaw {

PrefixState PrefixCache::state(std::uint64_t group, std::span<const TokenId> prompt) const {
  if (group == 0) return PrefixState::kAlone;
  const auto entry = entries_.find(group);
  if (entry == entries_.end()) return PrefixState::kAbsent;
  const bool same = std::ranges::equal(entry->second.prompt, prompt);
  if (entry->second.ready) return same ? PrefixState::kReady : PrefixState::kAbsent;
  return same ? PrefixState::kComputing : PrefixState::kAlone;
}

const CachedPrefix& PrefixCache::find(std::uint64_t group) {
  Entry& entry = entries_.at(group);
  CHECK(entry.ready);
  entry.last_use = ++use_counter_;
  return entry.prefix;
}

void PrefixCache::begin(std::uint64_t group, std::span<const TokenId> prompt) {
  Entry& entry = entries_[group];
  if (entry.ready) --num_ready_;
  entry = Entry{.prompt = {prompt.begin(), prompt.end()}, .prefix = {}};
}

void PrefixCache::publish(std::uint64_t group, CachedPrefix prefix) {
  Entry& entry = entries_.at(group);
  CHECK(!entry.ready);
  if (num_ready_ == num_ready_max_) evict(false);
  entry.ready = true;
  entry.last_use = ++use_counter_;
  entry.prefix = std::move(prefix);
  ++num_ready_;
}

void PrefixCache::abandon(std::uint64_t group) {
  const auto entry = entries_.find(group);
  CHECK(entry != entries_.end() && !entry->second.ready);
  entries_.erase(entry);
}

bool PrefixCache::evict(bool frees_only) {
  auto oldest = entries_.end();
  for (auto entry = entries_.begin(); entry != entries_.end(); ++entry) {
    if (!entry->second.ready || (frees_only && entry->second.prefix.lease.num_exclusive() == 0)) continue;
    if (oldest == entries_.end() || entry->second.last_use < oldest->second.last_use) oldest = entry;
  }
  if (oldest == entries_.end()) return false;
  entries_.erase(oldest);
  --num_ready_;
  return true;
}

int PrefixCache::num_evictable_blocks(std::uint64_t except_group) const {
  int num_blocks = 0;
  for (const auto& [group, entry] : entries_) {
    if (entry.ready && group != except_group) num_blocks += entry.prefix.lease.num_exclusive();
  }
  return num_blocks;
}

void PrefixCache::clear() {
  std::erase_if(entries_, [](const auto& entry) { return entry.second.ready; });
  num_ready_ = 0;
}

}  // namespace jigsaw
