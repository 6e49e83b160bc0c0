#include "workers/profiling/arithmetic.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "workers/profiling/cost_measurement.h"
#include "workers/profiling/step_measurement.h"

namespace jigsaw {
namespace {

using testing::ElementsAre;
using Kind = SubStageKind;

TEST(ArithmeticTest, MeanOfNothingIsZero) {
  EXPECT_EQ(mean({}), 0);
  EXPECT_EQ(mean(std::vector<double>{1, 2, 6}), 3);
}

TEST(ArithmeticTest, OrderStatisticsStandForEqualParts) {
  EXPECT_THAT(order_statistics({3, 1, 2}, 5), ElementsAre(1, 2, 3));
  std::vector<double> values;
  for (int i = 0; i < 100; ++i) values.push_back(99 - i);
  EXPECT_THAT(order_statistics(values, 4), ElementsAre(12, 37, 62, 87));
  EXPECT_THAT(order_statistics(values, 1), ElementsAre(50));
}

TEST(ArithmeticTest, ALineGoesThroughBothMeasurements) {
  const LinearTime line = linear_time(100, 0.7, 300, 1.1);  // 2 ms a token, and half a second
  EXPECT_NEAR(line.token_s, 0.002, 1e-15);
  EXPECT_NEAR(line.pass_s, 0.5, 1e-12);
}

TEST(ArithmeticTest, NoiseNeverLeadsBelowZero) {
  const LinearTime steep = linear_time(100, 0.1, 200, 0.4);  // would begin at -0.2
  EXPECT_EQ(steep.pass_s, 0);
  EXPECT_NEAR(steep.token_s, 0.002, 1e-15);
  const LinearTime falling = linear_time(100, 0.5, 200, 0.4);
  EXPECT_EQ(falling.token_s, 0);
  EXPECT_EQ(falling.pass_s, 0.4);
}

TEST(ArithmeticTest, MirroredSlowdownsAreOneAndTheirMean) {
  const auto rows = merged(std::vector<SlowdownMeasurement>{
      {Kind::kUpdate, Kind::kDecodeTail, 0.75, 1.2, 4},
      {Kind::kDecodeTail, Kind::kUpdate, 0.25, 2, 1.4},
      {Kind::kDecodeTail, Kind::kUpdate, 0.5, 1.5, 1.5},
  });
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].first, Kind::kDecodeTail);
  EXPECT_EQ(rows[0].second, Kind::kUpdate);
  EXPECT_EQ(rows[0].share, 0.25);
  EXPECT_NEAR(rows[0].first_factor, 3, 1e-12);
  EXPECT_NEAR(rows[0].second_factor, 1.3, 1e-12);
  EXPECT_EQ(rows[1], (SlowdownMeasurement{Kind::kDecodeTail, Kind::kUpdate, 0.5, 1.5, 1.5}));
}

TEST(ArithmeticTest, TwoOfAKindKeepTheLowerHalf) {
  const auto rows = merged(std::vector<SlowdownMeasurement>{
      {Kind::kUpdate, Kind::kUpdate, 0.75, 1.5, 5},
      {Kind::kUpdate, Kind::kUpdate, 0.25, 3, 1.5},
      {Kind::kUpdate, Kind::kUpdate, 0.5, 1.8, 2.2},
  });
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0], (SlowdownMeasurement{Kind::kUpdate, Kind::kUpdate, 0.25, 4, 1.5}));
  EXPECT_EQ(rows[1], (SlowdownMeasurement{Kind::kUpdate, Kind::kUpdate, 0.5, 2, 2}));
}

TEST(ArithmeticTest, NothingIsFasterBesideAnother) {
  const auto rows = merged(std::vector<SlowdownMeasurement>{{Kind::kDecodeTail, Kind::kDecodeBulk, 0.5, 0.9, 1.1}});
  EXPECT_THAT(rows, ElementsAre(SlowdownMeasurement{Kind::kDecodeBulk, Kind::kDecodeTail, 0.5, 1.1, 1}));
}

TEST(ArithmeticTest, BatchesDoubleUpToTheWidest) {
  EXPECT_THAT(batches_to_measure(1), ElementsAre(1));
  EXPECT_THAT(batches_to_measure(2), ElementsAre(1, 2));
  EXPECT_THAT(batches_to_measure(20), ElementsAre(1, 2, 4, 8, 16, 20));
  EXPECT_THAT(batches_to_measure(16), ElementsAre(1, 2, 4, 8, 16));
}

TEST(ArithmeticTest, TheFirstOfSeveralStepsIsNotTimed) {
  const StepSeconds first{.rollout_s = 100, .update_s = 50}, second{.rollout_s = 2, .tail_s = 1, .update_s = 3},
      third{.rollout_s = 4, .tail_s = 2, .reward_s = 1, .ref_logprob_s = 6, .update_s = 5, .sync_s = 8};
  const StepSeconds one = mean_seconds({first});
  EXPECT_EQ(one.rollout_s, 100);
  const StepSeconds several = mean_seconds({first, second, third});
  EXPECT_EQ(several.rollout_s, 3);
  EXPECT_EQ(several.tail_s, 1.5);
  EXPECT_EQ(several.reward_s, 0.5);
  EXPECT_EQ(several.ref_logprob_s, 3);
  EXPECT_EQ(several.update_s, 4);
  EXPECT_EQ(several.sync_s, 4);
}

}  // namespace
}  // namespace jigsaw
