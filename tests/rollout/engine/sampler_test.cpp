#include "rollout/engine/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <set>
#include <vector>

#include "core/philox.h"
#include "rollout/kernels/kernels.h"

namespace jigsaw {
namespace {

std::vector<float> random_logits(std::size_t count, std::uint64_t seed, float spread = 4.0f) {
  std::vector<float> logits;
  for (std::size_t i = 0; i < count; ++i) logits.push_back(spread * static_cast<float>(philox_uniform(seed, 0, i)));
  return logits;
}

TokenId sample(const std::vector<float>& logits, const SamplingParams& params, std::uint64_t key, std::uint64_t draw) {
  return sample_token(logits, *std::max_element(logits.begin(), logits.end()), params, key, draw);
}

// The exact probabilities of what the header promises, in double: by sorting everything.
std::vector<double> exact_probabilities(const std::vector<float>& logits, const SamplingParams& params) {
  std::vector<std::size_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return logits[a] > logits[b]; });
  if (params.top_k > 0) order.resize(std::min(order.size(), static_cast<std::size_t>(params.top_k)));
  const double max = logits[order[0]];
  const auto weight = [&](std::size_t i) { return std::exp((logits[i] - max) / double{params.temperature}); };
  double mass = 0;
  for (const std::size_t i : order) mass += weight(i);
  std::size_t kept = 0;
  double kept_mass = 0;
  while (kept < order.size() && (kept == 0 || kept_mass < double{params.top_p} * mass)) {
    kept_mass += weight(order[kept++]);
  }
  std::vector<double> probabilities(logits.size(), 0);
  for (std::size_t i = 0; i < kept; ++i) probabilities[order[i]] = weight(order[i]) / kept_mass;
  return probabilities;
}

// Draws from one row with keys of many sequences, and compares the counts with the exact probabilities: nothing outside
// of the support, and chi-square below its quantile at one in ten thousand (Wilson and Hilferty's approximation).
void expect_distribution(const std::vector<float>& logits, const SamplingParams& params, int num_draws) {
  const std::vector<double> probabilities = exact_probabilities(logits, params);
  std::vector<int> counts(logits.size(), 0);
  for (int i = 0; i < num_draws; ++i) {
    ++counts[static_cast<std::size_t>(sample(logits, params, philox_key(11, 0, static_cast<std::uint64_t>(i / 4)),
                                             static_cast<std::uint64_t>(i % 4)))];
  }
  double chi_square = 0;
  int degrees = -1;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (probabilities[i] == 0) {
      EXPECT_EQ(counts[i], 0) << "token " << i << " is not in the distribution";
      continue;
    }
    const double expected = probabilities[i] * num_draws;
    ASSERT_GT(expected, 5) << "too few draws for this test";
    chi_square += (counts[i] - expected) * (counts[i] - expected) / expected;
    ++degrees;
  }
  if (degrees == 0) return;
  const double spread = 2.0 / (9.0 * degrees);
  EXPECT_LT(chi_square, degrees * std::pow(1 - spread + 3.72 * std::sqrt(spread), 3)) << "degrees: " << degrees;
}

TEST(SamplerTest, TemperatureZeroTakesTheLargestAndAmongEqualsTheFirst) {
  EXPECT_EQ(sample({1, 3, 2, 3}, {.temperature = 0}, 1, 0), 1);
  EXPECT_EQ(sample({-5, -6}, {.temperature = 0}, 1, 0), 0);
  EXPECT_EQ(sample({1, 3, 2, 3}, {.temperature = 0, .top_k = 3, .top_p = 0.5f}, 1, 0), 1);
}

TEST(SamplerTest, DistributionIsSoftmax) {
  expect_distribution(random_logits(40, 1), {}, 200000);
  expect_distribution(random_logits(700, 2, 1.0f), {}, 300000);  // several chunks
}

TEST(SamplerTest, DistributionFollowsTemperature) {
  expect_distribution(random_logits(30, 3), {.temperature = 0.6f}, 200000);
  expect_distribution(random_logits(30, 4), {.temperature = 2.5f}, 200000);
}

TEST(SamplerTest, DistributionOfTopKAndTopP) {
  expect_distribution(random_logits(50, 5), {.top_k = 7}, 100000);
  expect_distribution(random_logits(50, 6), {.top_k = 1}, 100);
  expect_distribution(random_logits(50, 7), {.top_p = 0.8f}, 100000);
  expect_distribution(random_logits(50, 8), {.temperature = 0.7f, .top_k = 20, .top_p = 0.6f}, 100000);
  expect_distribution(random_logits(50, 9), {.top_k = 500}, 200000);
  // A flat row: top_p has to look past the first 64 candidates.
  expect_distribution(random_logits(150, 10, 0.5f), {.top_p = 0.9f}, 60000);
}

TEST(SamplerTest, TiesGoToTheLowerId) {
  const std::vector<float> logits(10, 1.0f);
  std::set<TokenId> top_k, top_p;
  for (std::uint64_t draw = 0; draw < 500; ++draw) {
    top_k.insert(sample(logits, {.top_k = 3}, 1, draw));
    top_p.insert(sample(logits, {.top_p = 0.35f}, 1, draw));
  }
  EXPECT_EQ(top_k, (std::set<TokenId>{0, 1, 2}));
  EXPECT_EQ(top_p, (std::set<TokenId>{0, 1, 2, 3}));
}

TEST(SamplerTest, TopPKeepsAtLeastTheLargest) {
  for (std::uint64_t draw = 0; draw < 200; ++draw) {
    EXPECT_EQ(sample({0, 5, 4, 0}, {.top_p = 1e-6f}, 1, draw), 1);
  }
}

// The inverse CDF, token by token: the same draw must give the same token whatever the row's size asks of blocks.
TEST(SamplerTest, InverseCdfInOrderOfId) {
  for (const std::size_t size : {1ul, 2ul, 255ul, 256ul, 257ul, 5000ul, 49152ul, 300001ul}) {
    const std::vector<float> logits = random_logits(size, size, 12.0f);
    const float max = *std::max_element(logits.begin(), logits.end());
    std::vector<float> weights(size);
    kernels::exp_scaled(size, logits.data(), max, 1.0f / 0.9f, weights.data());
    std::vector<double> cumulative(size);
    double sum = 0;
    for (std::size_t i = 0; i < size; ++i) cumulative[i] = sum += weights[i];
    int num_compared = 0;
    for (std::uint64_t draw = 0; draw < 300; ++draw) {
      const double target = philox_uniform(77, 0, draw) * cumulative.back();
      const auto hit = std::upper_bound(cumulative.begin(), cumulative.end(), target);
      // Sums in another order may differ in their last bits: leave out what lies that close to a border.
      const double distance = std::min(*hit - target, hit == cumulative.begin() ? target : target - *(hit - 1));
      const TokenId token = sample(logits, {.temperature = 0.9f}, 77, draw);
      if (distance < 1e-10 * cumulative.back() && size > 1) continue;
      ++num_compared;
      ASSERT_EQ(token, hit - cumulative.begin()) << "size " << size << ", draw " << draw;
    }
    EXPECT_GT(num_compared, 290);
  }
}

TEST(SamplerTest, TruncatedDrawsAreThoseOfASort) {
  std::mt19937_64 random(5);
  for (int trial = 0; trial < 400; ++trial) {
    const std::size_t size = 1 + random() % 1500;
    std::vector<float> logits = random_logits(size, random(), trial % 2 == 0 ? 8.0f : 1.0f);
    for (float& logit : logits) {
      if (trial % 3 == 0) logit = std::round(logit * 2) / 2;  // many ties
    }
    SamplingParams params{.temperature = 0.5f + static_cast<float>(random() % 100) / 50.0f};
    params.top_k = random() % 2 == 0 ? 0 : static_cast<int>(1 + random() % 100);
    params.top_p = static_cast<float>(1 + random() % 100) / 100.0f;
    const bool is_truncated = (params.top_k > 0 && params.top_k < static_cast<int>(size)) || params.top_p < 1;
    if (!is_truncated) continue;
    const std::vector<double> probabilities = exact_probabilities(logits, params);
    std::vector<std::size_t> order(size);
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return logits[a] > logits[b]; });
    for (std::uint64_t draw = 0; draw < 10; ++draw) {
      const double uniform = philox_uniform(9, 0, draw);
      double cumulative = 0, distance = 1;
      std::size_t expected = order[0];
      bool found = false;
      for (const std::size_t i : order) {
        cumulative += probabilities[i];
        distance = std::min(distance, std::abs(cumulative - uniform));
        if (!found && cumulative > uniform) {
          expected = i;
          found = true;
        }
      }
      const TokenId token = sample(logits, params, 9, draw);
      if (distance < 1e-5) continue;  // float weights against double ones
      ASSERT_EQ(token, static_cast<TokenId>(expected))
          << "trial " << trial << " top_k " << params.top_k << " top_p " << params.top_p << " size " << size;
    }
  }
}

TEST(SamplerTest, RowsWithoutADistributionGiveAnIdOfTheRow) {
  const float nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
  for (const SamplingParams& params : {SamplingParams{}, SamplingParams{.top_k = 2}, SamplingParams{.top_p = 0.5f},
                                       SamplingParams{.temperature = 0}}) {
    EXPECT_EQ(sample_token(std::vector<float>{nan, nan, nan}, nan, params, 1, 0), 0);
    EXPECT_EQ(sample_token(std::vector<float>{-inf, -inf}, -inf, params, 1, 0), 0);
    EXPECT_EQ(sample_token(std::vector<float>{1, inf, 2}, inf, params, 1, 0), 1);
    const TokenId token = sample_token(std::vector<float>{1, nan, 2}, 2, params, 1, 0);
    EXPECT_TRUE(token == 0 || token == 2);
  }
}

TEST(SamplerTest, TokensOfProbabilityZeroAreNeverDrawn) {
  const float inf = std::numeric_limits<float>::infinity();
  std::vector<float> logits(600, -inf);
  logits[3] = logits[599] = 0;
  std::set<TokenId> drawn;
  for (std::uint64_t draw = 0; draw < 200; ++draw) drawn.insert(sample(logits, {}, 2, draw));
  EXPECT_EQ(drawn, (std::set<TokenId>{3, 599}));
}

TEST(SamplerTest, DrawsDependOnKeyAndIndex) {
  const std::vector<float> logits(1000, 0.0f);
  std::set<TokenId> by_index, by_key;
  for (std::uint64_t i = 0; i < 20; ++i) {
    by_index.insert(sample(logits, {}, 1, i));
    by_key.insert(sample(logits, {}, i, 1));
  }
  EXPECT_GT(by_index.size(), 15u);
  EXPECT_GT(by_key.size(), 15u);
  EXPECT_EQ(sample(logits, {}, 5, 6), sample(logits, {}, 5, 6));
}

}  // namespace
}  // namespace jigsaw
