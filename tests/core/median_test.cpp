#include "core/median.h"

#include <gtest/gtest.h>

namespace jigsaw {
namespace {

// Nearest rank: of 1 .. 10 five do not exceed 5, nine do not exceed 9.
TEST(MedianTest, QuantilesAreNearestRanks) {
  const std::vector<double> ten = {10, 9, 8, 7, 6, 5, 4, 3, 2, 1};
  EXPECT_EQ(quantile(ten, 0.5), 5);
  EXPECT_EQ(quantile(ten, 0.9), 9);
  EXPECT_EQ(quantile(ten, 0.99), 10);
  EXPECT_EQ(quantile(ten, 0.01), 1);
  EXPECT_EQ(quantile({7}, 0.5), 7);
  std::vector<double> hundred;
  for (int i = 1; i <= 100; ++i) hundred.push_back(i);
  EXPECT_EQ(quantile(hundred, 0.07), 7);
  EXPECT_EQ(quantile(hundred, 0.9), 90);
}

TEST(MedianTest, IsTheMiddleOrTheMeanOfTheTwoInTheMiddle) {
  EXPECT_EQ(median({5}), 5);
  EXPECT_EQ(median({9, 1, 2}), 2);
  EXPECT_EQ(median({4, 1, 3, 100}), 3.5);
}

}  // namespace
}  // namespace jigsaw
