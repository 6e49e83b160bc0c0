#include "workers/lane_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace jigsaw {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(LaneSetTest, LanesAreMadeOnceAndKept) {
  LaneSet lanes(4);
  EXPECT_EQ(lanes.lane(0, 3).num_threads(), 3);
  EXPECT_EQ(&lanes.lane(1, 1), &lanes.lane(1, 1));
  EXPECT_NE(&lanes.lane(0, 1), &lanes.lane(1, 1));
  EXPECT_EQ(&lanes.lane(1, 4), &lanes.whole());
  EXPECT_EQ(lanes.caller_cpu(0, 2), -1);
}

TEST(LaneSetTest, TheSidesCountFromBothEndsOfTheCpus) {
  const LaneSet lanes(3, {4, 5, 6});
  EXPECT_EQ(lanes.caller_cpu(0, 2), 4);
  EXPECT_EQ(lanes.caller_cpu(1, 1), 6);
  EXPECT_EQ(lanes.caller_cpu(1, 2), 5);
}

// Against the definition: of all splits, the one whose part is nearest to the share.
TEST(PartitionTest, IsTheNearestToTheRatioAndLeavesNobodyWithout) {
  for (int num_threads = 2; num_threads <= 16; ++num_threads) {
    for (const double share : {0.01, 0.5, 1.0, 1.4, 2.5, 3.3, 7.0, 100.0}) {
      const Partition split = nearest_partition(num_threads, share, 1);
      EXPECT_EQ(split.first + split.second, num_threads);
      EXPECT_GE(split.second, 1);
      const auto distance = [&](int first) {
        return std::abs(first / static_cast<double>(num_threads) - share / (share + 1));
      };
      for (int first = 1; first < num_threads; ++first) {
        EXPECT_LE(distance(split.first), distance(first) + 1e-12) << num_threads << " threads, share " << share;
      }
    }
  }
}

TEST(PartitionChooserTest, ASplitIsKeptUntilAnotherHasBeenNearerForLong) {
  PartitionChooser chooser(4);
  EXPECT_EQ(chooser.choose({1, 1}, {2, 1}), (Partition{2, 2}));
  for (int i = 1; i < PartitionChooser::kQuantaBeforeSwitch; ++i) {
    EXPECT_EQ(chooser.choose({1, 3}, {2, 1}), (Partition{2, 2}));
  }
  EXPECT_EQ(chooser.choose({1, 3}, {2, 1}), (Partition{3, 1}));
}

TEST(PartitionChooserTest, AShareThatWaversSwitchesNothing) {
  PartitionChooser chooser(4);
  for (int i = 0; i < 10 * PartitionChooser::kQuantaBeforeSwitch; ++i) {
    EXPECT_EQ(chooser.choose({1, i % 2 == 1 ? 3.0 : 1.0}, {2, 1}), (Partition{2, 2}));
  }
}

TEST(PartitionChooserTest, OtherSubStagesGetTheirSplitAtOnce) {
  PartitionChooser chooser(4);
  EXPECT_EQ(chooser.choose({1, 1}, {2, 1}), (Partition{2, 2}));
  EXPECT_EQ(chooser.choose({1, 3}, {3, 1}), (Partition{3, 1}));
  EXPECT_EQ(chooser.choose_even(), (Partition{2, 2}));
  EXPECT_EQ(chooser.choose({1, 1}, {3, 3}), (Partition{1, 3}));
}

TEST(CpusForWorkerTest, WorkersThatShareCpusGetASliceEach) {
  const std::vector<std::vector<int>> usable(2, {0, 1, 2, 3});
  EXPECT_THAT(cpus_for_worker(usable, 0, 2), ElementsAre(0, 1));
  EXPECT_THAT(cpus_for_worker(usable, 1, 2), ElementsAre(2, 3));
  EXPECT_THAT(cpus_for_worker(usable, 1, 1), ElementsAre(1));
}

TEST(CpusForWorkerTest, ThreadsThatDoNotFitAreNotBound) {
  const std::vector<std::vector<int>> usable(2, {0, 1, 2, 3});
  EXPECT_THAT(cpus_for_worker(usable, 0, 3), IsEmpty());
  EXPECT_THAT(cpus_for_worker(std::vector<std::vector<int>>{{5}}, 0, 2), IsEmpty());
}

TEST(CpusForWorkerTest, OwnCpusAreTakenAndHalfSharedOnesAreNot) {
  const std::vector<std::vector<int>> bound = {{0, 1}, {2, 3}};
  EXPECT_THAT(cpus_for_worker(bound, 1, 2), ElementsAre(2, 3));
  const std::vector<std::vector<int>> overlapping = {{0, 1}, {1, 2}};
  EXPECT_THAT(cpus_for_worker(overlapping, 0, 1), IsEmpty());
}

}  // namespace
}  // namespace jigsaw
