#include "scheduler/cost/slowdown_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace jigsaw {
namespace {

using Kind = SubStageKind;
using Use = SlowdownModel::Use;

TEST(SlowdownModelTest, WhatSaturatesEarlyKeepsItsSpeed) {
  const SlowdownModel model;
  const auto factors = model.factors(Use{.saturates_at = 0.4}, Use{.saturates_at = 0.9}, 0.4);
  EXPECT_NEAR(factors.first, 1, 1e-12);
  EXPECT_NEAR(factors.second, 0.9 / 0.6, 1e-12);
}

TEST(SlowdownModelTest, WhatUsesAllOfAWorkerGetsTimeSlices) {
  const SlowdownModel model;
  for (const double share : {0.1, 0.5, 0.8}) {
    const auto factors = model.factors(Use{.bandwidth = 1}, Use{.bandwidth = 1}, share);
    EXPECT_NEAR(factors.first, 1 / share, 1e-12);
    EXPECT_NEAR(factors.second, 1 / (1 - share), 1e-12);
  }
}

TEST(SlowdownModelTest, TwoBoundByBandwidthHalveIt) {
  const SlowdownModel model;
  const Use use{.saturates_at = 0.5, .bandwidth = 1};
  EXPECT_NEAR(model.factors(use, use, 0.5).first, 2, 1e-12);
  // 0.6 + 0.6 do not fit into 1: memory's part stretches until 1.2 times the time is used.
  const Use most{.saturates_at = 0.5, .bandwidth = 0.6};
  EXPECT_NEAR(model.factors(most, most, 0.5).first, 1.2, 1e-12);
}

TEST(SlowdownModelTest, TheHeavierUserOfMemorySuffersMore) {
  const SlowdownModel model;
  const auto factors =
      model.factors(Use{.saturates_at = 0.5, .bandwidth = 0.9}, Use{.saturates_at = 0.5, .bandwidth = 0.3}, 0.5);
  EXPECT_GT(factors.first, factors.second);
  EXPECT_GT(factors.second, 1);
}

// Brute force over the coefficients: the two together never use more bandwidth than there is, all of it where it is
// short, and are never faster than alone.
TEST(SlowdownModelTest, TogetherTheyFitIntoTheBandwidth) {
  const SlowdownModel model;
  for (int s = 1; s <= 4; ++s) {
    for (int b1 = 0; b1 <= 10; ++b1) {
      for (int b2 = 0; b2 <= 10; ++b2) {
        for (int share = 1; share <= 9; ++share) {
          const Use first{s / 4.0, b1 / 10.0}, second{0.6, b2 / 10.0};
          const auto factors = model.factors(first, second, share / 10.0);
          const double v1 = std::min(1.0, share / 10.0 / first.saturates_at);
          const double v2 = std::min(1.0, (1 - share / 10.0) / second.saturates_at);
          const double wanted = first.bandwidth * v1 + second.bandwidth * v2;
          const double used = first.bandwidth / factors.first + second.bandwidth / factors.second;
          EXPECT_NEAR(used, std::min(wanted, 1.0), 1e-9);
          EXPECT_GE(factors.first, 1 / v1 - 1e-12);
          EXPECT_GE(factors.second, 1 / v2 - 1e-12);
        }
      }
    }
  }
}

TEST(SlowdownModelTest, TheTableHasEveryPairOfKnownKinds) {
  SlowdownModel model;
  model.kinds = {{Kind::kDecodeTail, {0.5, 0.6}}, {Kind::kUpdate, {0.9, 0.5}}};
  model.corun_overhead = 0.05;
  const SlowdownTable table = model.table();
  EXPECT_EQ(table.rows().size(), 19u + 10u + 10u);  // of two of a kind, the lower half and the middle
  for (const double share : {0.05, 0.3, 0.5, 0.7, 0.95}) {
    const auto expected = model.factors(model.kinds[Kind::kDecodeTail], model.kinds[Kind::kUpdate], share);
    const auto found = table.factors(Kind::kDecodeTail, Kind::kUpdate, share);
    EXPECT_NEAR(found.first, expected.first, 1e-9);
    EXPECT_NEAR(found.second, expected.second, 1e-9);
    const auto alike = model.factors(model.kinds[Kind::kUpdate], model.kinds[Kind::kUpdate], share);
    EXPECT_NEAR(table.factors(Kind::kUpdate, Kind::kUpdate, share).first, alike.first, 1e-9);
  }
  EXPECT_NEAR(table.factors(Kind::kUpdate, Kind::kLogprob, 0.25).first, 4, 1e-12);
}

}  // namespace
}  // namespace jigsaw
