// Decides which rows run next: who is let in, who decodes, who prefills how much, and who gives way when the KV blocks
// run out. Knows nothing of models. Engine thread only; never blocks.
//
// Age is the order of submission, and it decides everything: the oldest waiting sequence is let in first, and the
// youngest running one gives way first. So the oldest running sequence is never preempted and moves on at every pass,
// it ends, and each in turn becomes the oldest: nobody starves or waits in a circle. submit() made sure that each fits
// the pool alone.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "rollout/engine/kv_block_pool.h"
#include "rollout/engine/prefix_cache.h"
#include "rollout/engine/sequence.h"

namespace jigsaw {

// Rows kv_length .. kv_length + num_rows - 1 of a running sequence; their blocks are there and writable.
struct PlannedRows {
  Sequence* sequence = nullptr;
  int num_rows = 0;
  bool is_decode = false;
};

class Batcher {
 public:
  // `pool` and `prefixes` outlive this. At most min(max_batch, max_step_tokens) sequences run, so that every decoding
  // sequence and at least one row of a prefilling one fit a pass.
  Batcher(KvBlockPool& pool, PrefixCache& prefixes, int max_batch, int max_step_tokens);

  void enqueue(std::unique_ptr<Sequence> sequence);  // also a paused one
  // Takes a sequence that was computed elsewhere up to `num_positions` straight into the batch, as its youngest, and
  // has the blocks filled that its group does not have. False, with `sequence` left as it was, when there is no room or
  // others wait: nobody passes them.
  bool adopt(std::unique_ptr<Sequence>& sequence, int num_positions,
             const std::function<void(int block, float* memory)>& fill);

  // Moves waiting sequences into the batch, oldest first, as far as there is room. Members of a group wait while
  // another computes their prompt, and younger sequences may pass them. Returns those that begin with their whole
  // prompt cached and no token yet: their first token is drawn from the prefix's logits, before plan().
  // Valid until the next call.
  std::span<Sequence* const> admit();

  // The rows of the next pass: all decoding sequences, then prefill chunks, each oldest first. Preempts where blocks
  // are short. Not empty while a sequence runs. Valid until the next call.
  std::span<const PlannedRows> plan();

  // A running sequence pauses, and keeps its blocks as long as nobody needs them; one that is no longer paused waits to
  // be let in again.
  void pause(const Sequence& sequence);
  void resume(const Sequence& sequence);

  // Takes a sequence out, waiting, running or paused, and releases its blocks.
  std::unique_ptr<Sequence> remove(const Sequence& sequence);

  int num_running() const { return static_cast<int>(running_.size()); }
  int num_waiting() const { return static_cast<int>(waiting_.size()); }
  int num_paused() const { return static_cast<int>(paused_.size()); }
  std::int64_t num_preempted() const { return num_preempted_; }  // since construction

  // CHECKs what must hold between passes, block references included.
  void check_integrity() const;

 private:
  bool make_room_for(const Sequence& sequence, PrefixState prefix);
  void begin(Sequence& sequence, PrefixState prefix);
  void plan_rows(Sequence& sequence, int num_rows, bool is_decode);
  bool obtain_blocks(Sequence& sequence, int position_end);
  bool release_unused(const Sequence* except);
  void preempt_youngest();
  void release(Sequence& sequence);

  KvBlockPool& pool_;
  PrefixCache& prefixes_;
  int max_running_;
  int max_step_tokens_;
  using Queue = std::map<std::uint64_t, std::unique_ptr<Sequence>>;  // by arrival
  Queue waiting_;                                                    // with blocks if they were paused
  Queue paused_;
  std::vector<std::unique_ptr<Sequence>> running_;  // by arrival
  std::vector<Sequence*> begun_;
  std::vector<PlannedRows> plan_;
  std::int64_t num_preempted_ = 0;
};

}  // namespace jigsaw
