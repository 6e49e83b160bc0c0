#include "scheduler/prediction/history.h"

#include <gtest/gtest.h>

#include <random>

namespace jigsaw {
namespace {

void add_step(History& history, std::int64_t step, std::vector<double> seconds) {
  for (std::size_t node = 0; node < seconds.size(); ++node) {
    history.observe(step, static_cast<int>(node), seconds[node]);
  }
  history.finish_step(step);
}

TEST(HistoryTest, ForecastIsTheMeanOfTheLastFourStepsWithoutTheFirst) {
  History history;
  EXPECT_TRUE(history.forecast().empty());
  add_step(history, 1, {100, 100});
  EXPECT_EQ(history.forecast().seconds_of(0), 100);
  for (int step = 2; step <= 7; ++step) add_step(history, step, {static_cast<double>(step), 1});
  EXPECT_DOUBLE_EQ(history.forecast().seconds_of(0), (4 + 5 + 6 + 7) / 4.0);
  EXPECT_DOUBLE_EQ(history.forecast().seconds_of(1), 1);
  EXPECT_EQ(history.forecast().seconds_of(9), 0);
}

TEST(HistoryTest, WhatIsLeftIsTheMeanOfThoseThatTookLonger) {
  History history;
  add_step(history, 1, {0});
  for (const double seconds : {2.0, 4.0, 10.0}) add_step(history, 2, {seconds});
  const Forecast forecast = history.forecast();
  EXPECT_DOUBLE_EQ(forecast.remaining_s(0, 0), 16.0 / 3);
  EXPECT_DOUBLE_EQ(forecast.remaining_s(0, 3), (4 + 10) / 2.0 - 3);
  EXPECT_DOUBLE_EQ(forecast.remaining_s(0, 5), 5);
  EXPECT_DOUBLE_EQ(forecast.remaining_s(0, 50), 6);  // longer than ever: the spread at the end
}

TEST(HistoryTest, ErrorIsRelativeToWhatWasObserved) {
  History history;
  history.observe(1, 0, 9);
  EXPECT_FALSE(history.error_of(1));
  history.finish_step(1);
  add_step(history, 2, {4});
  history.observe(3, 0, 5);
  ASSERT_TRUE(history.error_of(3));
  EXPECT_DOUBLE_EQ(*history.error_of(3), 0.2);
}

TEST(HistoryTest, DriftNeedsTwoStepsAndEndsAfterTwo) {
  History history;
  for (int step = 1; step <= 6; ++step) add_step(history, step, {1});
  add_step(history, 7, {2.1});
  EXPECT_FALSE(history.drifted());
  add_step(history, 8, {4.3});
  EXPECT_TRUE(history.drifted());
  EXPECT_TRUE(history.forecast().drifted);
  add_step(history, 9, {4});
  EXPECT_TRUE(history.drifted());
  add_step(history, 10, {4});
  EXPECT_FALSE(history.drifted());
}

TEST(HistoryTest, StragglersAreNoDrift) {
  History history;
  for (int step = 1; step <= 20; ++step) {
    add_step(history, step, {step % 2 == 0 ? 1.0 : 3.0});
    EXPECT_FALSE(history.drifted());
  }
}

// Two workers with four samples each, whose lengths are geometric and cut at four times their mean, as of
// configs/long-tail-pair.yaml.
double long_tail_s(std::mt19937& random, double mean) {
  double sum = 0;
  for (int worker = 0; worker < 2; ++worker) {
    double longest = 0;
    for (int sample = 0; sample < 4; ++sample) {
      longest = std::max(longest, std::min(4 * mean, std::exponential_distribution<double>(1 / mean)(random)));
    }
    sum += longest;
  }
  return sum;
}

TEST(HistoryTest, LongTailsAloneAreHardlyEverDriftAndAShiftIsSeenAtOnce) {
  std::mt19937 random(1);
  History history;
  int drifted = 0;
  for (int step = 1; step <= 20'000; ++step) {
    add_step(history, step, {long_tail_s(random, 1)});
    drifted += history.drifted() ? 1 : 0;
  }
  EXPECT_LT(drifted, 200);
  int seen = 0;
  for (int round = 0; round < 100; ++round) {
    History shifted;
    for (int step = 1; step <= 8; ++step) add_step(shifted, step, {long_tail_s(random, 1)});
    for (int step = 9; step <= 10; ++step) add_step(shifted, step, {long_tail_s(random, 8)});
    seen += shifted.drifted() ? 1 : 0;
  }
  EXPECT_GT(seen, 90);
}

// Before there is much to compare with, too.
TEST(HistoryTest, LongTailsAreNoDriftInTheFirstSteps) {
  std::mt19937 random(2);
  int drifted = 0;
  for (int round = 0; round < 2000; ++round) {
    History history;
    bool ever = false;
    for (int step = 1; step <= 8; ++step) {
      add_step(history, step, {long_tail_s(random, 1)});
      ever = ever || history.drifted();
    }
    drifted += ever ? 1 : 0;
  }
  EXPECT_LT(drifted, 40);
}

TEST(HistoryTest, StepsMayOverlap) {
  History history;
  history.observe(2, 0, 7);
  history.observe(1, 0, 5);
  history.finish_step(1);
  EXPECT_EQ(history.forecast().seconds_of(0), 5);
  history.finish_step(2);
  EXPECT_EQ(history.forecast().seconds_of(0), 7);
}

}  // namespace
}  // namespace jigsaw
