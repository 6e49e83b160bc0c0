#include "scheduler/cost/slowdown_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace jigsaw {
namespace {

using testing::DoubleNear;
using testing::ElementsAre;
using testing::IsEmpty;
using Factors = SlowdownTable::Factors;
using Kind = SubStageKind;

constexpr double kExact = 1e-12;

void expect_near(Factors found, Factors expected) {
  EXPECT_NEAR(found.first, expected.first, 1e-9);
  EXPECT_NEAR(found.second, expected.second, 1e-9);
}

std::vector<double> rates_of(const SlowdownTable& table, const std::vector<SubStageKind>& kinds,
                             const std::vector<double>& weights) {
  std::vector<double> rates(kinds.size());
  table.fill_rates(kinds, weights, rates);
  return rates;
}

TEST(SlowdownTableTest, UnknownPairsTakeTimeSlices) {
  const SlowdownTable table;
  for (const double share : {0.1, 0.25, 0.5, 0.9}) {
    expect_near(table.factors(Kind::kUpdate, Kind::kDecodeTail, share), {1 / share, 1 / (1 - share)});
    expect_near(table.factors(Kind::kDecodeTail, Kind::kUpdate, share), {1 / share, 1 / (1 - share)});
    expect_near(table.factors(Kind::kUpdate, Kind::kUpdate, share), {1 / share, 1 / (1 - share)});
  }
  EXPECT_THAT(table.rows(), IsEmpty());
}

TEST(SlowdownTableTest, WhatIsSetIsFoundFromBothSides) {
  SlowdownTable table;
  table.set(Kind::kUpdate, Kind::kDecodeTail, 0.8, {1.3, 1.7});
  EXPECT_EQ(table.factors(Kind::kUpdate, Kind::kDecodeTail, 0.8), (Factors{1.3, 1.7}));
  EXPECT_EQ(table.factors(Kind::kDecodeTail, Kind::kUpdate, 0.2), (Factors{1.7, 1.3}));
  EXPECT_EQ(table.factors(Kind::kDecodeTail, Kind::kUpdate, 1 - 0.8), (Factors{1.7, 1.3}));
  // The same pair at the same share, said the other way round, replaces it.
  table.set(Kind::kDecodeTail, Kind::kUpdate, 0.2, {2, 3});
  EXPECT_THAT(table.rows(), ElementsAre(SlowdownTable::Row{Kind::kDecodeTail, Kind::kUpdate, 0.2, {2, 3}}));
}

TEST(SlowdownTableTest, SpeedsAreLinearBetweenKnownSharesAndTowardsTheEnds) {
  SlowdownTable table;
  table.set(Kind::kDecodeTail, Kind::kUpdate, 0.25, {2, 1.25});  // speeds 0.5, 0.8
  table.set(Kind::kDecodeTail, Kind::kUpdate, 0.75, {1, 2.5});   // speeds 1, 0.4
  expect_near(table.factors(Kind::kDecodeTail, Kind::kUpdate, 0.5), {1 / 0.75, 1 / 0.6});
  expect_near(table.factors(Kind::kDecodeTail, Kind::kUpdate, 0.375), {1 / 0.625, 1 / 0.7});
  expect_near(table.factors(Kind::kDecodeTail, Kind::kUpdate, 0.125), {1 / 0.25, 1 / 0.9});  // towards 0 and 1
  expect_near(table.factors(Kind::kDecodeTail, Kind::kUpdate, 0.875), {1 / 1.0, 1 / 0.2});   // towards 1 and 0
  expect_near(table.factors(Kind::kUpdate, Kind::kDecodeTail, 0.125), {1 / 0.2, 1 / 1.0});
}

TEST(SlowdownTableTest, TwoOfAKindMirrorEachOther) {
  SlowdownTable table;
  table.set(Kind::kDecodeBulk, Kind::kDecodeBulk, 0.25, {4, 1.25});
  EXPECT_EQ(table.factors(Kind::kDecodeBulk, Kind::kDecodeBulk, 0.75), (Factors{1.25, 4}));
  // Half-way between 0.25 and its mirror image: speeds (0.25 + 0.8) / 2.
  expect_near(table.factors(Kind::kDecodeBulk, Kind::kDecodeBulk, 0.5), {1 / 0.525, 1 / 0.525});
  table.set(Kind::kDecodeBulk, Kind::kDecodeBulk, 0.5, {1.5, 1.7});
  EXPECT_EQ(table.factors(Kind::kDecodeBulk, Kind::kDecodeBulk, 0.5), (Factors{1.6, 1.6}));
}

TEST(SlowdownTableTest, WaitsNeitherSlowDownNorAreSlowed) {
  SlowdownTable table;
  table.observe(Kind::kTool, Kind::kUpdate, 0.5, 3, 1);
  for (const Kind wait : {Kind::kTool, Kind::kReward}) {
    EXPECT_EQ(table.factors(wait, Kind::kUpdate, 0.1), (Factors{1, 1}));
    EXPECT_EQ(table.factors(Kind::kUpdate, wait, 0.1), (Factors{1, 1}));
    EXPECT_EQ(table.factors(wait, wait, 0.1), (Factors{1, 1}));
  }
  EXPECT_THAT(rates_of(table, std::vector{Kind::kUpdate, Kind::kTool}, std::vector{1.0, 9.0}), ElementsAre(1, 1));
}

TEST(SlowdownTableTest, AnObservationMovesTheNearestEntryOfOneSideByItsWeight) {
  SlowdownTable table;
  table.set(Kind::kDecodeTail, Kind::kUpdate, 0.25, {2, 1.2});
  table.set(Kind::kDecodeTail, Kind::kUpdate, 0.75, {1, 3});
  table.observe(Kind::kDecodeTail, Kind::kUpdate, 0.25, 1.5, 0.2);
  expect_near(table.factors(Kind::kDecodeTail, Kind::kUpdate, 0.25), {2.2, 1.2});
  EXPECT_EQ(table.factors(Kind::kDecodeTail, Kind::kUpdate, 0.75), (Factors{1, 3}));
  // Mirrored, and at a share in between.
  table.observe(Kind::kUpdate, Kind::kDecodeTail, 0.3, 1.5, 0.2);
  expect_near(table.factors(Kind::kDecodeTail, Kind::kUpdate, 0.75), {1, 3 * 1.1});
  expect_near(table.factors(Kind::kDecodeTail, Kind::kUpdate, 0.25), {2.2, 1.2});
}

TEST(SlowdownTableTest, WhatIsSeenAtOneShareTellsOfItsNeighbours) {
  SlowdownTable table;
  for (const double share : {0.3, 0.4, 0.5, 0.6}) table.set(Kind::kPrefill, Kind::kUpdate, share, {2, 2});
  table.observe(Kind::kPrefill, Kind::kUpdate, 0.5, 2, 0.5);
  EXPECT_NEAR(table.factors(Kind::kPrefill, Kind::kUpdate, 0.5).first, 3, kExact);
  EXPECT_NEAR(table.factors(Kind::kPrefill, Kind::kUpdate, 0.4).first, 2 * (1 + 0.5 * 0.6), kExact);
  EXPECT_NEAR(table.factors(Kind::kPrefill, Kind::kUpdate, 0.6).first, 2 * (1 + 0.5 * 0.6), kExact);
  EXPECT_NEAR(table.factors(Kind::kPrefill, Kind::kUpdate, 0.3).first, 2 * (1 + 0.5 * 0.2), kExact);
}

TEST(SlowdownTableTest, OneWildObservationMovesNothingFar) {
  SlowdownTable table;
  table.set(Kind::kPrefill, Kind::kUpdate, 0.5, {2, 2});
  table.observe(Kind::kPrefill, Kind::kUpdate, 0.5, 1e9, 0.2);
  EXPECT_NEAR(table.factors(Kind::kPrefill, Kind::kUpdate, 0.5).first, 2 * 1.2, kExact);
  for (int i = 0; i < 1000; ++i) table.observe(Kind::kPrefill, Kind::kUpdate, 0.5, 1e-9, 0.2);
  EXPECT_NEAR(table.factors(Kind::kPrefill, Kind::kUpdate, 0.5).first, SlowdownTable::kFactorMin, kExact);
}

TEST(SlowdownTableTest, AnObservationOfAnUnknownPairMakesAnEntry) {
  SlowdownTable table;
  table.observe(Kind::kUpdate, Kind::kLogprob, 0.5, 0.75, 0.2);
  ASSERT_EQ(table.rows().size(), 1u);
  expect_near(table.factors(Kind::kUpdate, Kind::kLogprob, 0.5), {1.9, 2});  // from 2 a fifth of the way
}

TEST(SlowdownTableTest, SlowdownsOfSeveralAddUp) {
  SlowdownTable table;
  const std::vector kinds = {Kind::kUpdate, Kind::kDecodeTail, Kind::kLogprob};
  // Time slices: each gets its weight's part.
  EXPECT_THAT(rates_of(table, kinds, std::vector{1.0, 2.0, 5.0}),
              ElementsAre(DoubleNear(1 / 8.0, kExact), DoubleNear(2 / 8.0, kExact), DoubleNear(5 / 8.0, kExact)));
  table.set(Kind::kUpdate, Kind::kDecodeTail, 0.5, {1.2, 1.4});
  // The log-probs take equal time slices of both still.
  EXPECT_THAT(rates_of(table, kinds, std::vector{1.0, 1.0, 1.0}),
              ElementsAre(DoubleNear(1 / 2.2, kExact), DoubleNear(1 / 2.4, kExact), DoubleNear(1 / 3.0, kExact)));
  EXPECT_THAT(rates_of(table, std::vector{Kind::kUpdate}, std::vector{0.3}), ElementsAre(1));
  EXPECT_THAT(rates_of(table, {}, {}), IsEmpty());
}

}  // namespace
}  // namespace jigsaw
