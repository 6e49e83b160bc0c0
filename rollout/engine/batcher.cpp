#include "rollout/engine/batcher.h"

#include <algorithm>
#include <utility>

namespace jigsaw {

Batcher::Batcher(KvBlockPool& pool, PrefixCache& prefixes, int max_batch, int max_step_tokens)
    : pool_(pool),
      prefixes_(prefixes),
      max_running_(std::min(max_batch, max_step_tokens)),
      max_step_tokens_(max_step_tokens) {
  CHECK(max_running_ >= 1);
}

void Batcher::enqueue(std::unique_ptr<Sequence> sequence) {
  Queue& queue = sequence->is_paused ? paused_ : waiting_;
  const std::uint64_t arrival = sequence->arrival;
  CHECK(queue.emplace(arrival, std::move(sequence)).second);
}

void Batcher::pause(const Sequence& sequence) {
  CHECK(sequence.is_paused);
  const auto running = std::ranges::find(running_, &sequence, &std::unique_ptr<Sequence>::get);
  CHECK(running != running_.end());
  std::unique_ptr<Sequence> paused = std::move(*running);
  running_.erase(running);
  enqueue(std::move(paused));
}

void Batcher::resume(const Sequence& sequence) {
  CHECK(!sequence.is_paused);
  enqueue(std::move(paused_.extract(sequence.arrival).mapped()));
}

std::span<Sequence* const> Batcher::admit() {
  begun_.clear();
  for (auto next = waiting_.begin(); next != waiting_.end() && num_running() < max_running_;) {
    Sequence& sequence = *next->second;
    const PrefixState prefix =
        sequence.kv_length > 0 ? PrefixState::kAlone : prefixes_.state(sequence.prefix_group, sequence.prompt());
    // It would take the place of a prefix whose logits are still to be drawn from.
    const bool displaces = prefix == PrefixState::kAbsent &&
                           std::ranges::find(begun_, sequence.prefix_group, &Sequence::prefix_group) != begun_.end();
    if (prefix == PrefixState::kComputing || displaces) {
      ++next;
      continue;
    }
    if (!make_room_for(sequence, prefix)) break;  // nobody younger passes it, or a large one might wait for ever
    begin(sequence, prefix);
    const auto place = std::upper_bound(running_.begin(), running_.end(), sequence.arrival,
                                        [](auto arrival, const auto& other) { return arrival < other->arrival; });
    running_.insert(place, std::move(next->second));
    next = waiting_.erase(next);
  }
  return begun_;
}

// Lets a sequence in only if all that run can draw a token and go on for a block besides: else it might be preempted in
// the middle of its prefill. Prefixes that nobody uses, and blocks of those that do not run, are dropped where that is
// enough.
bool Batcher::make_room_for(const Sequence& sequence, PrefixState prefix) {
  if (running_.empty()) return true;
  int wanted = pool_.num_wanted(sequence.lease, sequence.kv_length, sequence.num_tokens() + 1);
  if (prefix == PrefixState::kReady) wanted -= sequence.num_prompt / kPositionsPerBlock;
  for (const auto& other : running_) {
    wanted += 1 + pool_.num_wanted(other->lease, other->kv_length, other->num_tokens() + 1);
  }
  while (wanted > pool_.num_free() + prefixes_.num_evictable_blocks(sequence.prefix_group)) {
    if (!release_unused(&sequence)) return false;
  }
  if (prefix == PrefixState::kReady) prefixes_.find(sequence.prefix_group);  // the last one to be evicted
  while (wanted > pool_.num_free()) CHECK(prefixes_.evict(true));
  return true;
}

void Batcher::begin(Sequence& sequence, PrefixState prefix) {
  if (prefix == PrefixState::kAbsent) {
    prefixes_.begin(sequence.prefix_group, sequence.prompt());
    sequence.computes_prefix = true;
  } else if (prefix == PrefixState::kReady) {
    const KvBlockLease& shared = prefixes_.find(sequence.prefix_group).lease;
    sequence.lease = shared.share_front(shared.num_blocks());
    sequence.kv_length = sequence.num_prompt;
    if (sequence.num_completion() == 0) begun_.push_back(&sequence);
  }
}

bool Batcher::adopt(std::unique_ptr<Sequence>& sequence, int num_positions,
                    const std::function<void(int block, float* memory)>& fill) {
  CHECK(num_positions >= 1 && num_positions < sequence->num_tokens());
  const PrefixState prefix = prefixes_.state(sequence->prefix_group, sequence->prompt());
  if (!waiting_.empty() || num_running() >= max_running_ || !make_room_for(*sequence, prefix)) return false;
  KvBlockLease lease;
  if (prefix == PrefixState::kReady) {
    lease = prefixes_.find(sequence->prefix_group)
                .lease.share_front(std::min(sequence->num_prompt, num_positions) / kPositionsPerBlock);
  }
  const int num_shared = lease.num_blocks();
  while (!pool_.try_make_writable(lease, num_shared * kPositionsPerBlock, num_positions)) {
    if (!prefixes_.evict(true)) return false;
  }
  for (int block = num_shared; block < lease.num_blocks(); ++block) {
    fill(block, lease.bases()[static_cast<std::size_t>(block)]);
  }
  sequence->lease = std::move(lease);
  sequence->kv_length = num_positions;
  CHECK(running_.empty() || running_.back()->arrival < sequence->arrival);
  running_.push_back(std::move(sequence));
  return true;
}

std::span<const PlannedRows> Batcher::plan() {
  plan_.clear();
  // Preemption takes from the end of running_, so an index stays right, and is past the end when its own sequence went.
  int rows_left = max_step_tokens_;
  for (std::size_t i = 0; i < running_.size(); ++i) {
    if (!running_[i]->is_decoding()) continue;
    plan_rows(*running_[i], 1, true);
    --rows_left;
  }
  for (std::size_t i = 0; i < running_.size() && rows_left > 0; ++i) {
    Sequence& sequence = *running_[i];
    if (sequence.is_decoding()) continue;
    const int num_rows = std::min(rows_left, sequence.num_pending());
    plan_rows(sequence, num_rows, false);
    rows_left -= num_rows;
  }
  CHECK(running_.empty() || !plan_.empty());
  return plan_;
}

void Batcher::plan_rows(Sequence& sequence, int num_rows, bool is_decode) {
  if (obtain_blocks(sequence, sequence.kv_length + num_rows)) plan_.push_back({&sequence, num_rows, is_decode});
}

// False when the sequence was the youngest and had to give way itself.
bool Batcher::obtain_blocks(Sequence& sequence, int position_end) {
  while (!pool_.try_make_writable(sequence.lease, sequence.kv_length, position_end)) {
    if (prefixes_.evict(true) || release_unused(nullptr)) continue;
    if (running_.size() > 1) {
      const bool is_youngest = running_.back().get() == &sequence;
      preempt_youngest();
      if (is_youngest) return false;
    } else {
      // Alone, and its own prompt's last block is shared with the cache: without that it need not be copied.
      CHECK_MSG(prefixes_.evict(false), "a sequence that runs alone is out of KV blocks");
    }
  }
  return true;
}

// The blocks of the youngest sequence that does not run but has some. False when there is none.
bool Batcher::release_unused(const Sequence* except) {
  Sequence* youngest = nullptr;
  for (const Queue* queue : {&waiting_, &paused_}) {
    for (const auto& [arrival, sequence] : *queue) {
      if (sequence->kv_length == 0 || sequence.get() == except) continue;
      if (youngest == nullptr || arrival > youngest->arrival) youngest = sequence.get();
    }
  }
  if (youngest == nullptr) return false;
  release(*youngest);
  return true;
}

void Batcher::preempt_youngest() {
  std::unique_ptr<Sequence> victim = std::move(running_.back());
  running_.pop_back();
  std::erase_if(plan_, [&](const PlannedRows& rows) { return rows.sequence == victim.get(); });
  release(*victim);
  enqueue(std::move(victim));
  ++num_preempted_;
}

void Batcher::release(Sequence& sequence) {
  if (sequence.computes_prefix) prefixes_.abandon(sequence.prefix_group);
  sequence.computes_prefix = false;
  sequence.lease.release();
  sequence.computed_once = std::max(sequence.computed_once, sequence.kv_length);
  sequence.kv_length = 0;
}

std::unique_ptr<Sequence> Batcher::remove(const Sequence& sequence) {
  std::unique_ptr<Sequence> removed;
  if (auto waiting = waiting_.extract(sequence.arrival)) {
    removed = std::move(waiting.mapped());
  } else if (auto paused = paused_.extract(sequence.arrival)) {
    removed = std::move(paused.mapped());
  } else {
    const auto running = std::find_if(running_.begin(), running_.end(),
                                      [&](const auto& candidate) { return candidate.get() == &sequence; });
    CHECK(running != running_.end());
    removed = std::move(*running);
    running_.erase(running);
  }
  release(*removed);
  return removed;
}

void Batcher::check_integrity() const {
  pool_.check_integrity();
  std::vector<int> references(static_cast<std::size_t>(pool_.num_total()), 0);
  const auto count = [&](const KvBlockLease& lease) {
    for (const BlockId block : lease.ids()) ++references[static_cast<std::size_t>(block)];
  };
  prefixes_.for_each_lease(count);
  for (const auto& sequence : running_) {
    CHECK(sequence->kv_length <= sequence->lease.num_blocks() * kPositionsPerBlock);
    CHECK(sequence->num_pending() >= 1);
    count(sequence->lease);
  }
  for (const Queue* queue : {&waiting_, &paused_}) {
    for (const auto& [arrival, sequence] : *queue) {
      CHECK(sequence->arrival == arrival && sequence->is_paused == (queue == &paused_));
      CHECK(sequence->kv_length <= sequence->lease.num_blocks() * kPositionsPerBlock);
      CHECK((sequence->kv_length > 0) == (sequence->lease.num_blocks() > 0));
      CHECK(!sequence->computes_prefix);
      count(sequence->lease);
    }
  }
  for (std::size_t block = 0; block < references.size(); ++block) {
    CHECK_MSG(references[block] == pool_.num_references(BlockId{static_cast<std::int32_t>(block)}),
              "a KV block is held by someone unknown");
  }
  CHECK(num_running() <= max_running_);
  CHECK(std::is_sorted(running_.begin(), running_.end(),
                       [](const auto& a, const auto& b) { return a->arrival < b->arrival; }));
}

}  // namespace jigsaw
