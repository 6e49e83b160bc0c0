#include "rollout/engine/kv_block_pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <utility>
#include <vector>

namespace jigsaw {
namespace {

using ::testing::ElementsAre;

std::unique_ptr<KvBlockPool> pool_of(int num_blocks, std::size_t floats_per_block = 4) {
  return std::move(KvBlockPool::create(num_blocks, floats_per_block)).value();
}

TEST(KvBlockPoolTest, LeaseGivesItsBlocksBackWhenItDies) {
  const auto pool = pool_of(3);
  {
    const auto lease = pool->try_lease(2);
    ASSERT_TRUE(lease.has_value());
    EXPECT_EQ(lease->num_blocks(), 2);
    EXPECT_EQ(pool->num_free(), 1);
  }
  EXPECT_EQ(pool->num_free(), 3);
  pool->check_integrity();
}

TEST(KvBlockPoolTest, ShortageLeasesNothing) {
  const auto pool = pool_of(3);
  const auto lease = pool->try_lease(2);
  EXPECT_FALSE(pool->try_lease(2).has_value());
  EXPECT_EQ(pool->num_free(), 1);
}

TEST(KvBlockPoolTest, ReleasedPagesAreZeroAndUsableAgain) {
  const auto pool = pool_of(4, 4096);
  {
    const auto lease = pool->try_lease(4);
    for (float* base : lease->bases()) base[0] = base[4095] = 1;
  }
  pool->release_pages();
  const auto lease = pool->try_lease(4);
  for (float* base : lease->bases()) {
    EXPECT_EQ(base[0], 0);
    base[4095] = 2;
    EXPECT_EQ(base[4095], 2);
  }
}

TEST(KvBlockPoolDeathTest, PagesAreNotReleasedUnderALease) {
  const auto pool = pool_of(2);
  const auto lease = pool->try_lease(1);
  EXPECT_DEATH(pool->release_pages(), "under a lease");
}

TEST(KvBlockPoolTest, MovedLeaseIsHeldOnce) {
  const auto pool = pool_of(4);
  KvBlockLease a = std::move(*pool->try_lease(2));
  KvBlockLease b = std::move(a);
  EXPECT_EQ(a.num_blocks(), 0);
  EXPECT_EQ(b.num_blocks(), 2);
  b = std::move(*pool->try_lease(1));
  EXPECT_EQ(pool->num_free(), 3);
  pool->check_integrity();
}

TEST(KvBlockPoolTest, SharedBlockIsFreeAfterItsLastLease) {
  const auto pool = pool_of(3);
  KvBlockLease owner = std::move(*pool->try_lease(2));
  KvBlockLease sharer = owner.share_front(1);
  EXPECT_EQ(sharer.bases()[0], owner.bases()[0]);
  EXPECT_EQ(owner.num_exclusive(), 1);
  owner.release();
  EXPECT_EQ(pool->num_free(), 2);
  EXPECT_EQ(sharer.num_exclusive(), 1);
  sharer.release();
  EXPECT_EQ(pool->num_free(), 3);
}

TEST(KvBlockPoolTest, WriterOfASharedBlockGetsACopyAndLeavesTheOthersAlone) {
  const auto pool = pool_of(4, 2);
  KvBlockLease owner = std::move(*pool->try_lease(2));
  owner.bases()[1][0] = 7;
  owner.bases()[1][1] = 8;
  KvBlockLease writer = owner.share_front(2);

  EXPECT_EQ(pool->num_wanted(writer, 20, 33), 2);  // a copy of block 1, and block 2
  ASSERT_TRUE(pool->try_make_writable(writer, 20, 33));
  EXPECT_EQ(writer.num_blocks(), 3);
  EXPECT_EQ(writer.bases()[0], owner.bases()[0]);
  ASSERT_NE(writer.bases()[1], owner.bases()[1]);
  EXPECT_EQ(writer.bases()[1][0], 7);
  writer.bases()[1][1] = 9;
  EXPECT_EQ(owner.bases()[1][1], 8);
  pool->check_integrity();
}

TEST(KvBlockPoolTest, LastHolderWritesInPlace) {
  const auto pool = pool_of(1);
  KvBlockLease owner = std::move(*pool->try_lease(1));
  KvBlockLease writer = owner.share_front(1);
  EXPECT_FALSE(pool->try_make_writable(writer, 3, 4));  // no block left for the copy
  float* const base = writer.bases()[0];
  owner.release();
  EXPECT_TRUE(pool->try_make_writable(writer, 3, 4));
  EXPECT_THAT(writer.bases(), ElementsAre(base));
}

TEST(KvBlockPoolTest, ImpossiblePoolIsAnErrorAndNoCrash) {
  const auto pool = KvBlockPool::create(1 << 30, std::size_t{1} << 40);
  ASSERT_FALSE(pool.ok());
  EXPECT_EQ(pool.error().code(), ErrorCode::kResourceExhausted);
}

TEST(KvBlockPoolTest, RandomUseKeepsTheBooksAndTheContents) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    const auto draw = [&](int bound) { return static_cast<int>(random() % static_cast<std::uint64_t>(bound)); };
    const auto pool = pool_of(12, kPositionsPerBlock);
    struct Holder {
      KvBlockLease lease;
      std::vector<float> expected;  // one value a position
    };
    std::vector<Holder> holders;
    for (int i = 0; i < 400; ++i) {
      const int action = draw(10);
      if (action < 2 || holders.empty()) {
        holders.emplace_back();
      } else if (action < 4) {
        const Holder& from = holders[static_cast<std::size_t>(draw(static_cast<int>(holders.size())))];
        const int shared = draw(static_cast<int>(from.expected.size()) + 1);
        Holder holder{from.lease.share_front(num_blocks_for(shared)),
                      {from.expected.begin(), from.expected.begin() + shared}};
        holders.push_back(std::move(holder));
      } else if (action < 5) {
        holders.erase(holders.begin() + draw(static_cast<int>(holders.size())));
      } else {
        Holder& writer = holders[static_cast<std::size_t>(draw(static_cast<int>(holders.size())))];
        const int begin = static_cast<int>(writer.expected.size()), end = begin + 1 + draw(20);
        if (!pool->try_make_writable(writer.lease, begin, end)) continue;
        for (int position = begin; position < end; ++position) {
          writer.expected.push_back(static_cast<float>(draw(1000)));
          writer.lease.bases()[static_cast<std::size_t>(position / 16)][position % 16] = writer.expected.back();
        }
      }
      pool->check_integrity();
    }
    for (const Holder& holder : holders) {
      for (std::size_t position = 0; position < holder.expected.size(); ++position) {
        ASSERT_EQ(holder.lease.bases()[position / 16][position % 16], holder.expected[position]);
      }
    }
    holders.clear();
    EXPECT_EQ(pool->num_free(), pool->num_total());
  }
}

}  // namespace
}  // namespace jigsaw
