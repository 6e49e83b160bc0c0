// Fixed-size KV blocks (16 positions, all layers), handed out as leases. Engine thread only; never blocks.
// A block may belong to several leases: the prompt of a group is stored once. It is free again when the last of them is
// gone. Blocks are never written while shared: try_make_writable() gives the writer its own copy first.
// A lease gives its blocks back when it dies, so the pool outlives its leases.
// Invariant, see check_integrity(): num_free() + blocks in live leases, each counted once, == num_total().
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "core/result.h"

namespace jigsaw {

inline constexpr int kPositionsPerBlock = 16;
inline constexpr int num_blocks_for(int num_positions) {
  return (num_positions + kPositionsPerBlock - 1) / kPositionsPerBlock;
}

enum class BlockId : std::int32_t {};

class KvBlockPool;

// The blocks of one sequence (or of a cached prompt), position 0 on. Move-only; an empty one may lack a pool.
class KvBlockLease {
 public:
  KvBlockLease() = default;
  KvBlockLease(KvBlockLease&& other) noexcept;
  KvBlockLease& operator=(KvBlockLease&& other) noexcept;
  ~KvBlockLease() { release(); }

  int num_blocks() const { return static_cast<int>(ids_.size()); }
  std::span<const BlockId> ids() const { return ids_; }
  std::span<float* const> bases() const { return bases_; }
  // Blocks that only this lease holds: what release() would free.
  int num_exclusive() const;
  // A second lease on the first `num_blocks` blocks.
  [[nodiscard]] KvBlockLease share_front(int num_blocks) const;
  void release();
  // Gives back all but the first `num_blocks`; nothing when there are no more.
  void keep_front(int num_blocks);

 private:
  friend class KvBlockPool;
  KvBlockPool* pool_ = nullptr;
  std::vector<BlockId> ids_;
  std::vector<float*> bases_;  // bases_[i] is the memory of ids_[i]
};

class KvBlockPool {
 public:
  // Reserves address space for all blocks; the machine gives memory to those that are touched. kResourceExhausted when
  // even that fails.
  static Result<std::unique_ptr<KvBlockPool>> create(int num_blocks, std::size_t floats_per_block);
  ~KvBlockPool();
  KvBlockPool(const KvBlockPool&) = delete;
  KvBlockPool& operator=(const KvBlockPool&) = delete;

  // Empty when fewer than `num_wanted` are free. That is daily pressure and no error: the batcher preempts.
  [[nodiscard]] std::optional<KvBlockLease> try_lease(int num_wanted);

  // Makes positions [begin, end) of the lease writable: adds the blocks it lacks, and replaces those it shares by
  // copies. False, with nothing changed, when too few blocks are free.
  [[nodiscard]] bool try_make_writable(KvBlockLease& lease, int begin, int end);
  // Free blocks that try_make_writable() would take.
  int num_wanted(const KvBlockLease& lease, int begin, int end) const;

  // Gives the pages back to the machine until blocks are touched again. Only while all blocks are free.
  void release_pages();

  int num_total() const { return static_cast<int>(num_references_.size()); }
  int num_free() const { return static_cast<int>(free_.size()); }
  int num_references(BlockId block) const { return num_references_[static_cast<std::size_t>(block)]; }
  std::size_t block_bytes() const { return floats_per_block_ * sizeof(float); }

  // CHECKs that every block is either free and unreferenced or in use and referenced.
  void check_integrity() const;

 private:
  friend class KvBlockLease;
  KvBlockPool(int num_blocks, std::size_t floats_per_block, float* memory);
  BlockId take();
  void add_reference(BlockId block) { ++num_references_[static_cast<std::size_t>(block)]; }
  void drop_reference(BlockId block);
  float* base(BlockId block) const { return memory_ + static_cast<std::size_t>(block) * floats_per_block_; }

  std::size_t floats_per_block_;
  float* memory_;
  std::vector<std::int32_t> num_references_;  // by block
  std::vector<BlockId> free_;                 // a stack: what was touched last is used first
};

}  // namespace jigsaw
