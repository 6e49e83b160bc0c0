#include "rollout/engine/kv_block_pool.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <string>
#include <utility>

namespace jigsaw {

KvBlockLease::KvBlockLease(KvBlockLease&& other) noexcept
    : pool_(other.pool_), ids_(std::exchange(other.ids_, {})), bases_(std::exchange(other.bases_, {})) {}

KvBlockLease& KvBlockLease::operator=(KvBlockLease&& other) noexcept {
  if (this != &other) {
    release();
    pool_ = other.pool_;
    ids_ = std::exchange(other.ids_, {});
    bases_ = std::exchange(other.bases_, {});
  }
  return *this;
}

int KvBlockLease::num_exclusive() const {
  return static_cast<int>(
      std::count_if(ids_.begin(), ids_.end(), [&](BlockId id) { return pool_->num_references(id) == 1; }));
}

KvBlockLease KvBlockLease::share_front(int num_blocks) const {
  CHECK(num_blocks >= 0 && num_blocks <= this->num_blocks());
  KvBlockLease shared;
  shared.pool_ = pool_;
  shared.ids_.assign(ids_.begin(), ids_.begin() + num_blocks);
  shared.bases_.assign(bases_.begin(), bases_.begin() + num_blocks);
  for (BlockId id : shared.ids_) pool_->add_reference(id);
  return shared;
}

void KvBlockLease::release() { keep_front(0); }

void KvBlockLease::keep_front(int num_blocks) {
  CHECK(num_blocks >= 0);
  // Last block first, so that the stack of free blocks hands them out again in the order they had.
  while (this->num_blocks() > num_blocks) {
    pool_->drop_reference(ids_.back());
    ids_.pop_back();
    bases_.pop_back();
  }
}

Result<std::unique_ptr<KvBlockPool>> KvBlockPool::create(int num_blocks, std::size_t floats_per_block) {
  CHECK(num_blocks > 0 && floats_per_block > 0);
  const std::size_t blocks = static_cast<std::size_t>(num_blocks);
  const auto too_large = [&] {
    return Error(ErrorCode::kResourceExhausted, "no memory for " + std::to_string(num_blocks) + " KV blocks of " +
                                                    std::to_string(floats_per_block * sizeof(float)) +
                                                    " bytes; lower kv_bytes_max, max_batch or max_positions");
  };
  if (floats_per_block > std::numeric_limits<std::size_t>::max() / sizeof(float) / blocks) return too_large();
  // Pages come zeroed and only once touched, so a pool sized for the worst case costs what is really used of it.
  void* memory = mmap(nullptr, blocks * floats_per_block * sizeof(float), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return too_large();
  madvise(memory, blocks * floats_per_block * sizeof(float), MADV_HUGEPAGE);  // a wish: its failure changes nothing
  return std::unique_ptr<KvBlockPool>(new KvBlockPool(num_blocks, floats_per_block, static_cast<float*>(memory)));
}

KvBlockPool::KvBlockPool(int num_blocks, std::size_t floats_per_block, float* memory)
    : floats_per_block_(floats_per_block), memory_(memory), num_references_(static_cast<std::size_t>(num_blocks), 0) {
  free_.reserve(num_references_.size());
  for (int block = num_blocks - 1; block >= 0; --block) free_.push_back(BlockId{block});
}

KvBlockPool::~KvBlockPool() {
  CHECK_MSG(num_free() == num_total(), "a KV lease outlives its pool");
  munmap(memory_, num_references_.size() * block_bytes());
}

void KvBlockPool::release_pages() {
  CHECK_MSG(num_free() == num_total(), "KV pages are released under a lease");
  madvise(memory_, num_references_.size() * block_bytes(), MADV_DONTNEED);  // zeroed when they are touched again
}

BlockId KvBlockPool::take() {
  CHECK(!free_.empty());
  const BlockId block = free_.back();
  free_.pop_back();
  add_reference(block);
  return block;
}

void KvBlockPool::drop_reference(BlockId block) {
  std::int32_t& references = num_references_[static_cast<std::size_t>(block)];
  CHECK(references > 0);
  if (--references == 0) free_.push_back(block);
}

std::optional<KvBlockLease> KvBlockPool::try_lease(int num_wanted) {
  CHECK(num_wanted >= 0);
  KvBlockLease lease;
  lease.pool_ = this;
  if (!try_make_writable(lease, 0, num_wanted * kPositionsPerBlock)) return std::nullopt;
  return lease;
}

int KvBlockPool::num_wanted(const KvBlockLease& lease, int begin, int end) const {
  int wanted = std::max(num_blocks_for(end) - lease.num_blocks(), 0);
  const int shared_end = std::min(num_blocks_for(end), lease.num_blocks());
  for (int i = begin / kPositionsPerBlock; i < shared_end; ++i) {
    if (num_references(lease.ids_[static_cast<std::size_t>(i)]) > 1) ++wanted;
  }
  return wanted;
}

bool KvBlockPool::try_make_writable(KvBlockLease& lease, int begin, int end) {
  CHECK(begin >= 0 && begin <= end);
  if (num_wanted(lease, begin, end) > num_free()) return false;
  lease.pool_ = this;
  const int shared_end = std::min(num_blocks_for(end), lease.num_blocks());
  for (int i = begin / kPositionsPerBlock; i < shared_end; ++i) {
    BlockId& id = lease.ids_[static_cast<std::size_t>(i)];
    if (num_references(id) == 1) continue;
    const BlockId copy = take();
    std::memcpy(base(copy), base(id), block_bytes());
    drop_reference(std::exchange(id, copy));
    lease.bases_[static_cast<std::size_t>(i)] = base(copy);
  }
  while (lease.num_blocks() < num_blocks_for(end)) {
    lease.ids_.push_back(take());
    lease.bases_.push_back(base(lease.ids_.back()));
  }
  return true;
}

void KvBlockPool::check_integrity() const {
  std::vector<bool> is_free(num_references_.size(), false);
  for (BlockId block : free_) {
    CHECK_MSG(!is_free[static_cast<std::size_t>(block)], "a KV block is free twice");
    CHECK_MSG(num_references(block) == 0, "a free KV block is leased");
    is_free[static_cast<std::size_t>(block)] = true;
  }
  for (std::size_t block = 0; block < num_references_.size(); ++block) {
    CHECK_MSG(is_free[block] || num_references_[block] > 0, "a KV block is neither free nor leased");
  }
}

}  // namespace jigsaw
