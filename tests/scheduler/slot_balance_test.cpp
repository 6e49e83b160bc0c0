// Who computes which gradient slot: against brute force on small cases, and on long-tailed lengths as rollouts have
// them.
#include "scheduler/slot_balance.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>

#include "graph/graph.h"
#include "graph/slot_samples.h"
#include "scheduler/packing_bench.h"
#include "scheduler/training_work.h"

namespace jigsaw {
namespace {

using testing::ElementsAre;
using Owners = std::vector<std::uint32_t>;

double busiest(std::span<const double> work, const Owners& owners, int num_workers) {
  std::vector<double> loads(static_cast<std::size_t>(num_workers) + 1);
  for (std::size_t i = 0; i < work.size(); ++i) loads[owners[i]] += work[i];
  return *std::ranges::max_element(loads);
}

bool is_allowed(const Owners& owners, int num_workers) {
  const HeldSums bound = held_sums_max(static_cast<int>(owners.size()));
  for (int worker = 1; worker <= num_workers; ++worker) {
    const HeldSums sums = held_sums(owners, static_cast<std::uint32_t>(worker));
    if (sums.most > bound.most || sums.at_end > bound.at_end) return false;
  }
  return true;
}

// The least load of the busiest worker over all assignments that keep to the bound on sums.
double optimum(std::span<const double> work, int num_workers) {
  Owners owners(work.size(), 1);
  double best = std::accumulate(work.begin(), work.end(), 0.0);
  for (;;) {
    if (busiest(work, owners, num_workers) < best && is_allowed(owners, num_workers)) {
      best = busiest(work, owners, num_workers);
    }
    std::size_t i = 0;
    while (i < owners.size() && owners[i] == static_cast<std::uint32_t>(num_workers)) owners[i++] = 1;
    if (i == owners.size()) return best;
    ++owners[i];
  }
}

std::vector<double> by_slot(std::span<const double> samples, int num_slots) {
  std::vector<double> slots;
  for (int slot = 0; slot < num_slots; ++slot) {
    const auto [begin, end] = samples_of_slot(static_cast<int>(samples.size()), num_slots, slot);
    slots.push_back(std::accumulate(samples.begin() + begin, samples.begin() + end, 0.0));
  }
  return slots;
}

TEST(SlotBalanceTest, EqualSlotsStayRunsOfNeighbours) {
  EXPECT_THAT(balanced_slot_owners(std::vector<double>(4, 1.0), 2), ElementsAre(1, 1, 2, 2));
  EXPECT_THAT(balanced_slot_owners(std::vector<double>(4, 0.0), 3), ElementsAre(1, 1, 2, 3));
  EXPECT_THAT(balanced_slot_owners(std::vector{1.0, 1.01, 1.0, 1.0}, 2), ElementsAre(1, 1, 2, 2)) << "not worth it";
  EXPECT_THAT(balanced_slot_owners(std::vector{5.0, 7.0}, 1), ElementsAre(1, 1));
}

TEST(SlotBalanceTest, ALongSlotGetsAWorkerOfItsOwn) {
  const std::vector<double> work = {1, 9, 1, 1, 1, 1};
  const Owners owners = balanced_slot_owners(work, 2);
  EXPECT_EQ(busiest(work, owners, 2), 9);
  EXPECT_EQ(std::ranges::count(owners, owners[1]), 1);
}

TEST(SlotBalanceTest, WhoHasOtherWorkGetsLess) {
  const std::vector<double> busy = {2, 0};
  EXPECT_THAT(balanced_slot_owners(std::vector{3.0, 1.0}, 2, busy), ElementsAre(2, 1));
  EXPECT_THAT(balanced_slot_owners(std::vector{1.0, 3.0}, 2, busy), ElementsAre(1, 2));
  const Owners owners = balanced_slot_owners(std::vector<double>(8, 1.0), 2, busy);
  EXPECT_EQ(std::ranges::count(owners, 1u), 3);
  EXPECT_TRUE(is_allowed(owners, 2));
}

TEST(SlotBalanceTest, RunsStayTogether) {
  const std::vector<double> work = {3, 3, 1, 1, 1, 1, 1, 1};
  const std::vector<int> runs = {2, 1, 1, 1, 1, 1, 1};
  const Owners owners = balanced_slot_owners(work, 2, {}, runs);
  EXPECT_EQ(owners[0], owners[1]);
  EXPECT_EQ(busiest(work, owners, 2), 6);
  std::mt19937 generator(5);
  for (int i = 0; i < 200; ++i) {
    std::vector<double> drawn;
    for (int slot = 0; slot < 13; ++slot) drawn.push_back(1.0 + static_cast<double>(generator() % 100));
    const std::vector<int> lengths = {3, 1, 4, 2, 1, 1, 1};
    for (const int num_workers : {2, 3, 5}) {
      const Owners dealt = balanced_slot_owners(drawn, num_workers, {}, lengths);
      EXPECT_TRUE(is_allowed(dealt, num_workers));
      for (const auto& [begin, end] : {std::pair(0, 3), std::pair(4, 8), std::pair(8, 10)}) {
        EXPECT_EQ(
            std::ranges::count(dealt.begin() + begin, dealt.begin() + end, dealt[static_cast<std::size_t>(begin)]),
            end - begin);
      }
    }
  }
}

TEST(SlotBalanceTest, ASampleIsSharedWhenItDominates) {
  const std::vector<double> slots = {1, 1, 1, 1};
  const std::vector<int> num_pairs = {0, 2, 0, 2};
  // Of 24 in all, one of the two has 16.
  const DealtUpdate shared = deal_update(std::vector{8.0, 8.0, 2.0, 2.0}, num_pairs, slots, 2);
  EXPECT_NE(shared.pair_owners[0], shared.pair_owners[1]);
  EXPECT_EQ(shared.pair_owners[2], shared.pair_owners[3]);
  EXPECT_DOUBLE_EQ(shared.imbalance, 1);
  // Beside as much other work a worker of its own does as well.
  const DealtUpdate whole = deal_update(std::vector{2.0, 2.0, 1.5, 1.5}, num_pairs, slots, 2);
  EXPECT_EQ(whole.pair_owners[0], whole.pair_owners[1]);
  EXPECT_EQ(whole.pair_owners[2], whole.pair_owners[3]);
  const DealtUpdate alone = deal_update(std::vector{8.0, 8.0, 2.0, 2.0}, num_pairs, slots, 1);
  EXPECT_THAT(alone.pair_owners, testing::Each(1u));
  EXPECT_TRUE(deal_update({}, std::vector{0, 0}, slots, 2).pair_owners.empty());
}

TEST(SlotBalanceTest, SmallCasesAreWithinATenthOfTheOptimumAndMostlyThere) {
  std::mt19937 generator(3);
  std::lognormal_distribution<double> lengths(0.0, 1.0);
  int cases = 0, optimal = 0;
  for (const int num_slots : {2, 4, 5, 8}) {
    for (const int num_workers : {2, 3}) {
      for (int i = 0; i < 40; ++i, ++cases) {
        std::vector<double> work;
        for (int slot = 0; slot < num_slots; ++slot) work.push_back(lengths(generator));
        const Owners owners = balanced_slot_owners(work, num_workers);
        ASSERT_TRUE(is_allowed(owners, num_workers));
        const double found = busiest(work, owners, num_workers), best = optimum(work, num_workers);
        EXPECT_LE(found, best * 1.1) << num_slots << " slots, " << num_workers << " workers";
        optimal += found <= best / 0.98 + 1e-9;  // less than 2 % is left where it is
      }
    }
  }
  EXPECT_GE(optimal, cases * 19 / 20);
}

// The sizes of related work's tables; a slot a sample, so that only the longest sample bounds what can be reached.
TEST(SlotBalanceTest, LongTailedLengthsAreBalancedToWithinFivePercentOrTheLongestSample) {
  for (const PackingBenchOptions& options : {PackingBenchOptions{.num_workers = 2, .num_samples = 64, .sigma = 0.9},
                                             {.num_workers = 4, .num_samples = 64, .sigma = 0.6},
                                             {.num_workers = 8, .num_samples = 128, .sigma = 0.9},
                                             {.num_workers = 8, .num_samples = 64, .sigma = 0.9},
                                             {.num_workers = 8, .num_samples = 64, .sigma = 1.2}}) {
    for (int batch = 0; batch < options.num_batches; ++batch) {
      std::vector<double> work;
      for (const double length :
           long_tailed_lengths(options.num_samples, options.sigma, static_cast<std::uint32_t>(batch)))
        work.push_back(long_tailed_work(length));
      const Owners owners = balanced_slot_owners(work, options.num_workers);
      ASSERT_TRUE(is_allowed(owners, options.num_workers));
      const double mean = std::accumulate(work.begin(), work.end(), 0.0) / options.num_workers;
      const double longest = std::max(1.0, *std::ranges::max_element(work) / mean);
      EXPECT_LE(imbalance(work, owners, options.num_workers), std::max(1.05, 1.01 * longest))
          << options.num_workers << " workers, batch " << batch;
    }
    const PackingBenchResult mean = run_packing_bench(options);
    EXPECT_LE(mean.by_work, std::max(1.05, 1.01 * mean.longest_sample));
    EXPECT_LT(mean.by_work, mean.by_tokens);
    EXPECT_LT(mean.by_tokens, mean.arrival_order);
  }
}

TEST(SlotBalanceTest, FourSlotsAWorkerAlreadyHelp) {
  double arrival = 0, balanced = 0;
  for (std::uint32_t round = 0; round < 50; ++round) {
    std::vector<double> work;
    for (const double length : long_tailed_lengths(64, 0.9, round)) work.push_back(long_tailed_work(length));
    const std::vector<double> slots = by_slot(work, 8);
    arrival += imbalance(slots, slot_owners(8, 2), 2) / 50;
    balanced += imbalance(slots, balanced_slot_owners(slots, 2), 2) / 50;
  }
  EXPECT_GT(arrival, 1.15);
  EXPECT_LT(balanced, 1.05);
}

TEST(SlotBalanceTest, HeldSumsAreThoseOfTheTree) {
  const auto held = [](const Owners& owners, std::uint32_t worker) {
    const HeldSums sums = held_sums(owners, worker);
    return std::pair(sums.most, sums.at_end);
  };
  EXPECT_EQ(held({1}, 1), std::pair(1, 1));
  EXPECT_EQ(held(Owners(8, 1), 1), std::pair(4, 1));
  EXPECT_EQ(held(Owners(5, 1), 1), std::pair(3, 1));
  EXPECT_EQ(held({1, 1, 1, 2, 2, 2, 2, 2}, 1), std::pair(2, 2));  // 0-1, 2
  EXPECT_EQ(held({1, 1, 1, 2, 2, 2, 2, 2}, 2), std::pair(4, 2));  // 3, 4-7
  EXPECT_EQ(held({1, 2, 1, 2}, 1), std::pair(2, 2));
  EXPECT_EQ(held({1, 2, 1, 2}, 3), std::pair(0, 0));
  EXPECT_EQ(held({1, 1, 1, 1, 2}, 2), std::pair(1, 1));
}

TEST(SlotBalanceTest, EverySampleIsInTheSlotOfItsIndex) {
  for (const auto& [samples, slots] : {std::pair{64, 4}, {10, 4}, {3, 8}, {20, 7}, {0, 2}}) {
    int next = 0;
    for (int slot = 0; slot < slots; ++slot) {
      const auto [begin, end] = samples_of_slot(samples, slots, slot);
      EXPECT_EQ(begin, next);
      for (int i = begin; i < end; ++i) EXPECT_EQ(i * slots / samples, slot);
      next = end;
    }
    EXPECT_EQ(next, samples);
  }
}

TEST(TrainingWorkTest, FindsBothPartsThroughNoise) {
  std::mt19937 generator(5);
  std::uniform_real_distribution<double> noise(0.95, 1.05), length(50, 3000);
  TrainingWork work;
  for (int i = 0; i < 200; ++i) {
    TokenSums sums;
    for (int k = 0; k < 4; ++k) sums.add(static_cast<std::int64_t>(length(generator)));
    work.observe(sums, (2e-3 * sums.tokens + 1e-6 * sums.squares + 0.5) * noise(generator));
  }
  EXPECT_NEAR(work.linear(), 2e-3, 4e-4);
  EXPECT_NEAR(work.quadratic(), 1e-6, 2e-7);
}

TEST(TrainingWorkTest, IsByTokensUntilItKnowsMoreAndWhereLengthsAreAllOne) {
  TrainingWork work;
  EXPECT_EQ(work.of({.tokens = 7, .squares = 49}), 7);
  work.observe({.tokens = 0, .squares = 0}, 1.0);
  work.observe({.tokens = 5, .squares = 25}, 0.0);
  EXPECT_EQ(work.of({.tokens = 7, .squares = 49}), 7);
  for (int i = 0; i < 5; ++i) work.observe({.tokens = 1000, .squares = 1e5}, 2.0);
  EXPECT_NEAR(work.of({.tokens = 1000, .squares = 1e5}), 2.0, 0.02);
  EXPECT_GE(work.quadratic(), 0);
}

TEST(TrainingWorkTest, FollowsAMachineThatBecomesSlower) {
  TrainingWork work;
  for (int i = 0; i < 40; ++i) work.observe({.tokens = 1000.0 + i, .squares = 1e5 * (1 + i % 7)}, 1.0);
  for (int i = 0; i < 100; ++i) work.observe({.tokens = 1000.0 + i, .squares = 1e5 * (1 + i % 7)}, 3.0);
  EXPECT_NEAR(work.of({.tokens = 1000, .squares = 4e5}), 3.0, 0.3);
}

}  // namespace
}  // namespace jigsaw
