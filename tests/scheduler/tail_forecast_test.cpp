#include "scheduler/prediction/tail_forecast.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <random>

#include "scheduler/prediction/tail_history.h"

namespace jigsaw {
namespace {

std::vector<Completion> lengths(const std::vector<double>& tokens) {
  std::vector<Completion> completions;
  for (const double length : tokens) completions.push_back({.tokens = length});
  return completions;
}

// A pass costs base_s and width_s for each sequence in it.
ModelCost cost_of(double base_s, double width_s) {
  ModelCost cost;
  cost.decode = {{1, base_s + width_s}, {101, base_s + 101 * width_s}};
  cost.prefill_token_s = 0.01;
  return cost;
}

TEST(SurvivalCurveTest, IsThePartOfTheSamplesThatAreLonger) {
  const SurvivalCurve curve(lengths({5, 2, 2, 9}));
  for (const auto& [tokens, survival] :
       std::map<double, double>{{0, 1}, {1.9, 1}, {2, 0.5}, {4, 0.5}, {5, 0.25}, {8.9, 0.25}, {9, 0}, {100, 0}}) {
    EXPECT_DOUBLE_EQ(curve.survival(tokens), survival) << tokens;
  }
  EXPECT_EQ(curve.longest(), 9);
  EXPECT_EQ(curve.beyond_longest(), 4);
}

// By hand, product-limit: 6 at risk, one ends at 1: 5/6. At 2 one is cut. At 3, of 4 at risk, one ends: 5/6 x 3/4. At 4
// one is cut; at 5, of two, one ends: 5/6 x 3/4 x 1/2. The longest was cut, and there all ends.
TEST(SurvivalCurveTest, WhatWasCutCountsAsFarAsItGot) {
  std::vector<Completion> completions = lengths({1, 2, 3, 4, 5, 6});
  for (const std::size_t cut : {1u, 3u, 5u}) completions[cut].truncated = true;
  const SurvivalCurve curve(completions);
  EXPECT_DOUBLE_EQ(curve.survival(1), 5.0 / 6);
  EXPECT_DOUBLE_EQ(curve.survival(2.5), 5.0 / 6);
  EXPECT_DOUBLE_EQ(curve.survival(3), 5.0 / 6 * 3 / 4);
  EXPECT_DOUBLE_EQ(curve.survival(5), 5.0 / 6 * 3 / 4 / 2);
  EXPECT_EQ(curve.survival(6), 0);
}

TEST(SurvivalCurveTest, ManyLengthsBecomeFewThatAreCloseEverywhere) {
  std::mt19937 random(3);
  std::vector<double> tokens;
  double sum = 0;
  for (int i = 0; i < 4000; ++i) {
    tokens.push_back(std::round(300 * std::exp(std::normal_distribution<double>(0, 0.8)(random))));
    sum += tokens.back();
  }
  const SurvivalCurve curve(lengths(tokens));
  ASSERT_LE(curve.knots().size(), SurvivalCurve::kKnotsMax);
  std::sort(tokens.begin(), tokens.end());
  double mean = 0, before = 1;
  for (const SurvivalCurve::Knot& knot : curve.knots()) {
    mean += (before - knot.survival) * knot.tokens;
    before = knot.survival;
  }
  EXPECT_NEAR(mean, sum / 4000, 1e-6 * mean);
  EXPECT_EQ(curve.survival(tokens.back()), 0);
  for (const double length : {100.0, 300.0, 600.0, 1000.0, 2000.0}) {
    const auto longer = tokens.end() - std::upper_bound(tokens.begin(), tokens.end(), length);
    const double truth = static_cast<double>(longer) / 4000;
    EXPECT_NEAR(curve.survival(length), truth, 0.15 * truth + 1e-4) << length;
  }
}

// Every way in which sequences can turn out, each as likely as any other.
struct BruteForce {
  std::map<double, double> done;  // seconds to all ended -> probability
  double mean_s = 0;

  BruteForce(const std::vector<double>& samples, const std::vector<RunningSequences>& groups, double base_s,
             double width_s) {
    std::vector<std::vector<double>> choices;  // passes left, by sequence
    for (const RunningSequences& group : groups) {
      std::vector<double> left;
      for (const double tokens : samples) {
        if (tokens > group.tokens) left.push_back(tokens - group.tokens);
      }
      for (int i = 0; i < group.count; ++i) choices.push_back(left);
    }
    std::vector<std::size_t> at(choices.size(), 0);
    double ways = 1;
    for (const auto& left : choices) ways *= static_cast<double>(left.size());
    while (true) {
      double last = 0, seconds = 0;
      std::vector<double> left;
      for (std::size_t i = 0; i < at.size(); ++i) left.push_back(choices[i][at[i]]);
      for (const double passes : left) last = std::max(last, passes);
      for (double pass = 1; pass <= last; ++pass) {
        const auto width = std::count_if(left.begin(), left.end(), [&](double passes) { return passes >= pass; });
        seconds += base_s + width_s * static_cast<double>(width);
      }
      mean_s += seconds / ways;
      done[last] += 1 / ways;
      std::size_t i = 0;
      while (i < at.size() && ++at[i] == choices[i].size()) at[i++] = 0;
      if (i == at.size()) return;
    }
  }
};

TEST(TailForecastTest, IsWhatEveryOutcomeComesToOnAverage) {
  std::mt19937 random(11);
  for (int round = 0; round < 100; ++round) {
    std::vector<double> samples;
    for (int i = 0; i < 6; ++i) samples.push_back(1 + static_cast<double>(random() % 12));
    samples.push_back(14);
    std::vector<RunningSequences> groups;
    for (int i = 1 + static_cast<int>(random() % 2); i > 0; --i) {
      groups.push_back({.count = 1 + static_cast<int>(random() % 2), .tokens = static_cast<double>(random() % 12)});
    }
    const double base_s = 0.5 + static_cast<double>(random() % 4), width_s = static_cast<double>(random() % 3) / 4;
    const BruteForce truth(samples, groups, base_s, width_s);
    const TailForecast forecast{.lengths = SurvivalCurve(lengths(samples)), .cost = cost_of(base_s, width_s)};
    const RemainingTime remaining = forecast.remaining(groups);
    EXPECT_NEAR(remaining.mean_s(), truth.mean_s, 1e-9 * truth.mean_s) << round;
    ASSERT_FALSE(remaining.points.empty());
    EXPECT_DOUBLE_EQ(remaining.points.back().done, 1);
    if (width_s > 0) continue;
    // With passes of one cost the whole distribution is known.
    for (const double probability : {0.1, 0.5, 0.9, 0.999}) {
      double sum = 0, passes = 0;
      for (const auto& [last, part] : truth.done) {
        passes = last;
        if ((sum += part) >= probability - 1e-12) break;
      }
      EXPECT_NEAR(remaining.quantile_s(probability), base_s * passes, 1e-9) << probability;
    }
  }
}

TEST(TailForecastTest, BeyondTheLongestItIsTheSpreadAtTheEnd) {
  const TailForecast forecast{.lengths = SurvivalCurve(lengths({3, 10, 16})), .cost = cost_of(2, 0)};
  const RunningSequences late{.count = 3, .tokens = 50};
  EXPECT_DOUBLE_EQ(forecast.remaining({&late, 1}).mean_s(), 6 * 2);
  const RunningSequences none{.count = 0, .tokens = 1};
  EXPECT_EQ(forecast.remaining({&none, 1}).mean_s(), 0);
  EXPECT_EQ(TailForecast().remaining({&late, 1}).mean_s(), 0);
}

TEST(TailForecastTest, WorkTakesSequencesFurtherAndContextsCost) {
  TailForecast forecast{.lengths = SurvivalCurve(lengths({100})), .cost = cost_of(1, 0), .scale = 2};
  forecast.prompt_tokens = 5;
  EXPECT_DOUBLE_EQ(forecast.after({.count = 4, .tokens = 10}, 6).tokens, 13);
  EXPECT_DOUBLE_EQ(forecast.prefill_s({.count = 4, .tokens = 10}), 2 * 0.01 * 4 * 15);
}

TEST(TailHistoryTest, TheFirstTailTellsWhatAPassTakesWhereNothingWasMeasured) {
  TailHistory history(TokenBins{.tail_below = 3}, {});
  const std::vector<Completion> completions = lengths({10, 30, 20, 60});
  history.observe(1, completions);
  history.finish_step();
  EXPECT_TRUE(history.forecast().empty());
  // The tail begins when two are left, after 20 passes.
  history.observe_tail(completions, 8);
  EXPECT_DOUBLE_EQ(history.forecast().scale, 8.0 / 40);
  EXPECT_DOUBLE_EQ(history.tail_s(lengths({5, 5, 5, 15})), 2);
  EXPECT_EQ(history.forecast().lengths.longest(), 60);
}

TEST(TailHistoryTest, TheCostMovesTowardsWhatIsSeenByBoundedSteps) {
  TailHistory history(TokenBins{.tail_below = 3}, cost_of(1, 0));
  const std::vector<Completion> completions = lengths({10, 20});
  history.observe(1, completions);
  history.finish_step();
  history.observe_tail(completions, 20 * 1000.0);  // an outlier
  EXPECT_DOUBLE_EQ(history.forecast().scale, 1.2);
  for (int i = 0; i < 60; ++i) history.observe_tail(completions, 20 * 3.0);
  EXPECT_NEAR(history.forecast().scale, 3, 0.01);
}

TEST(TailHistoryTest, OldStepsAreForgotten) {
  TailHistory history(TokenBins{.tail_below = 3}, cost_of(1, 0));
  for (int step = 1; step <= 5; ++step) {
    history.observe(step, lengths({step == 1 ? 1000.0 : 10.0 + step}));
    history.finish_step();
  }
  EXPECT_EQ(history.forecast().lengths.longest(), 15);
}

}  // namespace
}  // namespace jigsaw
