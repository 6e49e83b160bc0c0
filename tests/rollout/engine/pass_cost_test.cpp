#include "rollout/engine/pass_cost.h"

#include <gtest/gtest.h>

namespace jigsaw {
namespace {

TEST(PassCostTest, IsKnownOnceMeasuredTwice) {
  PassCost cost;
  EXPECT_FALSE(cost.is_known(1));
  cost.record(1, 5);
  EXPECT_FALSE(cost.is_known(1)) << "the first pass may have met cold memory";
  cost.record(1, 1);
  EXPECT_TRUE(cost.is_known(1));
  EXPECT_DOUBLE_EQ(cost.seconds(1), 1);
  for (int i = 0; i < 100; ++i) cost.record(4, 1);
  EXPECT_FALSE(cost.is_known(1)) << "it is to be measured again";
}

TEST(PassCostTest, FollowsWhatPassesTakeButNoHiccup) {
  PassCost cost;
  for (int i = 0; i < 10; ++i) cost.record(3, 1);
  cost.record(3, 100);
  EXPECT_LT(cost.seconds(3), 1.3);
  for (int i = 0; i < 40; ++i) cost.record(3, 2);
  EXPECT_NEAR(cost.seconds(3), 2, 0.05);
}

TEST(PassCostTest, ReadsOffNeighboursWhatWasNotMeasured) {
  PassCost cost;
  for (int i = 0; i < 4; ++i) {
    cost.record(2, 1.0);
    cost.record(10, 3.0);
  }
  EXPECT_DOUBLE_EQ(cost.seconds(6), 2.0);
  EXPECT_DOUBLE_EQ(cost.seconds(1), 1.0);
  EXPECT_GT(cost.seconds(20), 3.0);
  EXPECT_LT(cost.seconds(20), 5.0) << "a promising draft is to be tried";
}

TEST(PassCostTest, ASingleOldMeasurementIsForgotten) {
  PassCost cost;
  for (int i = 0; i < 4; ++i) cost.record(1, 1);
  cost.record(8, 50);  // a hiccup
  EXPECT_DOUBLE_EQ(cost.seconds(8), 50);
  for (int i = 0; i < 50; ++i) cost.record(1, 1);
  EXPECT_LT(cost.seconds(8), 2);
}

}  // namespace
}  // namespace jigsaw
