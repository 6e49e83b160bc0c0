#include "rollout/engine/prefix_cache.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

namespace jigsaw {
namespace {

class PrefixCacheTest : public ::testing::Test {
 protected:
  void publish(PrefixCache& cache, std::uint64_t group, const std::vector<TokenId>& prompt) {
    cache.begin(group, prompt);
    cache.publish(group, {.lease = std::move(*pool_->try_lease(1)), .logits = {1.0f, 2.0f}, .stats = {}});
  }

  std::unique_ptr<KvBlockPool> pool_ = std::move(KvBlockPool::create(8, 1)).value();
  const std::vector<TokenId> prompt_{5, 6}, other_{5, 7};
};

TEST_F(PrefixCacheTest, MembersWaitWhileOneComputesAndFindItThen) {
  PrefixCache cache(4);
  EXPECT_EQ(cache.state(1, prompt_), PrefixState::kAbsent);
  cache.begin(1, prompt_);
  EXPECT_EQ(cache.state(1, prompt_), PrefixState::kComputing);
  cache.publish(1, {.lease = std::move(*pool_->try_lease(2)), .logits = {3.0f}, .stats = {}});
  ASSERT_EQ(cache.state(1, prompt_), PrefixState::kReady);
  EXPECT_EQ(cache.find(1).logits, std::vector<float>{3.0f});
  EXPECT_EQ(cache.find(1).lease.num_blocks(), 2);
}

TEST_F(PrefixCacheTest, AnotherPromptOfTheGroupGoesAloneAndLaterTakesItsPlace) {
  PrefixCache cache(4);
  cache.begin(1, prompt_);
  EXPECT_EQ(cache.state(1, other_), PrefixState::kAlone);
  cache.publish(1, {.lease = std::move(*pool_->try_lease(1)), .logits = {}, .stats = {}});
  EXPECT_EQ(cache.state(1, other_), PrefixState::kAbsent);
  publish(cache, 1, other_);
  EXPECT_EQ(cache.state(1, other_), PrefixState::kReady);
  EXPECT_EQ(cache.state(1, prompt_), PrefixState::kAbsent);
  EXPECT_EQ(pool_->num_free(), 7);
}

TEST_F(PrefixCacheTest, GroupZeroSharesNothing) {
  PrefixCache cache(4);
  EXPECT_EQ(cache.state(0, prompt_), PrefixState::kAlone);
}

TEST_F(PrefixCacheTest, AbandonedPromptCanBeBegunByAnother) {
  PrefixCache cache(4);
  cache.begin(1, prompt_);
  cache.abandon(1);
  EXPECT_EQ(cache.state(1, prompt_), PrefixState::kAbsent);
}

TEST_F(PrefixCacheTest, EvictsTheLeastRecentlyUsedAndNeverOneBeingComputed) {
  PrefixCache cache(4);
  publish(cache, 1, prompt_);
  publish(cache, 2, prompt_);
  cache.begin(3, prompt_);
  cache.find(1);
  EXPECT_TRUE(cache.evict(false));
  EXPECT_EQ(cache.state(1, prompt_), PrefixState::kReady);
  EXPECT_EQ(cache.state(2, prompt_), PrefixState::kAbsent);
  EXPECT_TRUE(cache.evict(false));
  EXPECT_FALSE(cache.evict(false));
  EXPECT_EQ(cache.state(3, prompt_), PrefixState::kComputing);
  EXPECT_EQ(pool_->num_free(), 8);
}

TEST_F(PrefixCacheTest, EvictionForRoomPassesPrefixesInUse) {
  PrefixCache cache(4);
  publish(cache, 1, prompt_);
  publish(cache, 2, prompt_);
  const KvBlockLease user = cache.find(1).lease.share_front(1);
  cache.find(2);  // used last, and yet the only one whose block would be free
  EXPECT_EQ(cache.num_evictable_blocks(0), 1);
  EXPECT_EQ(cache.num_evictable_blocks(2), 0);
  EXPECT_TRUE(cache.evict(true));
  EXPECT_EQ(cache.state(1, prompt_), PrefixState::kReady);
  EXPECT_EQ(cache.state(2, prompt_), PrefixState::kAbsent);
  EXPECT_FALSE(cache.evict(true));
}

TEST_F(PrefixCacheTest, KeepsNoMoreThanItsBound) {
  PrefixCache cache(2);
  for (std::uint64_t group = 1; group <= 5; ++group) publish(cache, group, prompt_);
  EXPECT_EQ(pool_->num_free(), 6);
  EXPECT_EQ(cache.state(3, prompt_), PrefixState::kAbsent);
  EXPECT_EQ(cache.state(4, prompt_), PrefixState::kReady);
  cache.clear();
  EXPECT_EQ(pool_->num_free(), 8);
  publish(cache, 9, prompt_);  // the bound counts anew
  publish(cache, 10, prompt_);
  EXPECT_EQ(cache.state(9, prompt_), PrefixState::kReady);
}

}  // namespace
}  // namespace jigsaw
