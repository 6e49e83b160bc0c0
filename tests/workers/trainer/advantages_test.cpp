#include "workers/trainer/advantages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "core/philox.h"
#include "workers/trainer/algorithms/algorithm.h"

namespace jigsaw {
namespace {

using testing::DoubleNear;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;

TrainingSample sample_of(std::int64_t group, double reward, int num_tokens) {
  TrainingSample sample;
  sample.group = group;
  sample.reward = reward;
  sample.prompt_length = 1;
  sample.tokens.assign(static_cast<std::size_t>(num_tokens) + 1, 0);
  return sample;
}

AlgorithmConfig config_of(const std::string& name) {
  AlgorithmConfig config;
  config.name = name;
  config.max_completion_length = 8;
  return config;
}

TEST(AdvantagesTest, GroupRelativeDividesByTheGroupsDeviation) {
  // Group 1: 1, 2, 6: mean 3, std sqrt((4 + 1 + 9) / 2) = sqrt(7). Group 4: 0, 2: mean 1, std sqrt(2).
  const std::vector samples = {sample_of(1, 1, 2), sample_of(4, 0, 1), sample_of(1, 2, 1), sample_of(4, 2, 3),
                               sample_of(1, 6, 1)};
  const BatchAdvantages advantages = *compute_advantages(config_of("grpo"), samples);
  const double first = std::sqrt(7.0) + 1e-4, second = std::sqrt(2.0) + 1e-4;
  EXPECT_THAT(advantages.per_sample,
              ElementsAre(DoubleNear(-2 / first, 1e-12), DoubleNear(-1 / second, 1e-12), DoubleNear(-1 / first, 1e-12),
                          DoubleNear(1 / second, 1e-12), DoubleNear(3 / first, 1e-12)));
  EXPECT_EQ(advantages.num_samples, 5);
  EXPECT_EQ(advantages.num_tokens, 8);
  EXPECT_THAT(advantages.per_token[3],
              ElementsAre(advantages.per_sample[3], advantages.per_sample[3], advantages.per_sample[3]));
}

TEST(AdvantagesTest, BatchScaleDividesByTheDeviationOfRawRewards) {
  // Rewards 1, 3, 11, 13: mean 7, std sqrt((36 + 16 + 16 + 36) / 3).
  const std::vector samples = {sample_of(1, 1, 1), sample_of(1, 3, 1), sample_of(2, 11, 1), sample_of(2, 13, 1)};
  AlgorithmConfig config = config_of("dapo");
  config.scale_rewards = "batch";
  const double divisor = std::sqrt(104.0 / 3) + 1e-4;
  EXPECT_THAT(compute_advantages(config, samples)->per_sample,
              ElementsAre(DoubleNear(-1 / divisor, 1e-12), DoubleNear(1 / divisor, 1e-12),
                          DoubleNear(-1 / divisor, 1e-12), DoubleNear(1 / divisor, 1e-12)));
}

TEST(AdvantagesTest, NoScaleOnlyCentres) {
  const std::vector samples = {sample_of(1, 1, 1), sample_of(1, 4, 1)};
  AlgorithmConfig config = config_of("gspo");
  config.scale_rewards = "none";
  EXPECT_THAT(compute_advantages(config, samples)->per_sample, ElementsAre(-1.5, 1.5));
}

TEST(AdvantagesTest, LeaveOneOutComparesWithTheOthers) {
  const std::vector samples = {sample_of(7, 1, 1), sample_of(7, 2, 1), sample_of(7, 6, 1), sample_of(8, 5, 1)};
  // 1 - (2 + 6) / 2, 2 - (1 + 6) / 2, 6 - (1 + 2) / 2, and nobody to compare with.
  EXPECT_THAT(compute_advantages(config_of("rloo"), samples)->per_sample, ElementsAre(-3, -1.5, 4.5, 0));
}

TEST(AdvantagesTest, LeaveOneOutTakesTheKlOffTheReward) {
  std::vector samples = {sample_of(7, 1, 2), sample_of(7, 2, 1)};
  samples[0].old_logprobs = {-1.0f, -2.0f};
  samples[0].ref_logprobs = {-1.5f, -2.25f};  // k1: 0.5 + 0.25
  samples[1].old_logprobs = {-1.0f};
  samples[1].ref_logprobs = {-0.5f};  // k1: -0.5
  AlgorithmConfig config = config_of("rloo");
  config.beta = 0.4;
  const double a = 1 - 0.4 * 0.75, b = 2 + 0.4 * 0.5;
  EXPECT_THAT(compute_advantages(config, samples)->per_sample,
              ElementsAre(DoubleNear(a - b, 1e-12), DoubleNear(b - a, 1e-12)));
}

TEST(AdvantagesTest, LeaveOneOutNormalizesOverTheBatch) {
  const std::vector samples = {sample_of(7, 1, 1), sample_of(7, 3, 1), sample_of(8, 5, 1)};
  AlgorithmConfig config = config_of("rloo");
  config.normalize_advantages = true;
  // Before: -2, 2, 0: mean 0, std 2.
  EXPECT_THAT(compute_advantages(config, samples)->per_sample,
              ElementsAre(DoubleNear(-2 / 2.0001, 1e-12), DoubleNear(2 / 2.0001, 1e-12), DoubleNear(0, 1e-12)));
}

TEST(AdvantagesTest, TokenReturnsWeighLongCompletionsMore) {
  // Five tokens of reward 1 and 0 0 0: mean 2/5, std sqrt((2 * 0.36 + 3 * 0.16) / 4).
  const std::vector samples = {sample_of(1, 1, 2), sample_of(2, 0, 3)};
  const BatchAdvantages advantages = *compute_advantages(config_of("reinforce_pp"), samples);
  const double divisor = std::sqrt(0.3) + 1e-4;
  EXPECT_THAT(advantages.per_token[0], Each(DoubleNear(0.6 / divisor, 1e-12)));
  EXPECT_THAT(advantages.per_sample, ElementsAre(DoubleNear(0.6 / divisor, 1e-12), DoubleNear(-0.4 / divisor, 1e-12)));
}

TEST(AdvantagesTest, TokenReturnsSumTheKlFromTheTokenOn) {
  std::vector samples = {sample_of(1, 1, 3)};
  samples[0].old_logprobs = {-1.0f, -1.0f, -1.0f};
  samples[0].ref_logprobs = {-2.0f, -1.5f, -1.25f};  // k1: 1, 0.5, 0.25
  AlgorithmConfig config = config_of("reinforce_pp");
  config.beta = 2;
  // Returns 1 - 2 * (1.75, 0.75, 0.25) = -2.5, -0.5, 0.5; mean -5/6.
  const double mean = -2.5 / 3;
  const double std =
      std::sqrt((std::pow(-2.5 - mean, 2) + std::pow(-0.5 - mean, 2) + std::pow(0.5 - mean, 2)) / 2) + 1e-4;
  const BatchAdvantages advantages = *compute_advantages(config, samples);
  EXPECT_THAT(advantages.per_token[0],
              ElementsAre(DoubleNear((-2.5 - mean) / std, 1e-12), DoubleNear((-0.5 - mean) / std, 1e-12),
                          DoubleNear((0.5 - mean) / std, 1e-12)));
  EXPECT_NEAR(advantages.per_sample[0], 0, 1e-12);
}

class EveryAlgorithm : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Advantages, EveryAlgorithm, testing::ValuesIn(algorithm_names()),
                         [](const auto& info) { return info.param; });

TEST_P(EveryAlgorithm, EqualRewardsGiveExactlyZero) {
  for (const std::string scale : {"group", "batch", "none"}) {
    AlgorithmConfig config = config_of(GetParam());
    config.scale_rewards = scale;
    // 0.1 is not a binary fraction: a mean by summing and dividing would leave a rest.
    const std::vector samples = {sample_of(1, 0.1, 2), sample_of(1, 0.1, 1), sample_of(1, 0.1, 3)};
    EXPECT_THAT(compute_advantages(config, samples)->per_sample, Each(0.0)) << scale;
  }
}

TEST_P(EveryAlgorithm, OneCompletionGivesZeroAndCounts) {
  const std::vector samples = {sample_of(1, 0.7, 1)};
  const BatchAdvantages advantages = *compute_advantages(config_of(GetParam()), samples);
  EXPECT_THAT(advantages.per_sample, ElementsAre(0.0));
  EXPECT_EQ(advantages.num_tokens, 1);
}

TEST_P(EveryAlgorithm, AnEmptyBatchIsFine) { EXPECT_EQ(compute_advantages(config_of(GetParam()), {})->num_samples, 0); }

// Properties that hold for any rewards: shifting all of them changes nothing, and scaled advantages do not grow with
// them.
TEST_P(EveryAlgorithm, ShiftedAndStretchedRewards) {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    std::vector<TrainingSample> samples, shifted, stretched;
    const int num_samples = 2 + static_cast<int>(philox(seed, 0, 0)[0] % 12);
    for (int i = 0; i < num_samples; ++i) {
      const auto draw = philox(seed, 1, static_cast<std::uint64_t>(i));
      const double reward = philox_uniform(seed, 2, static_cast<std::uint64_t>(i));
      const auto group = static_cast<std::int64_t>(draw[0] % 4);
      const int length = 1 + static_cast<int>(draw[1] % 5);
      samples.push_back(sample_of(group, reward, length));
      shifted.push_back(sample_of(group, reward + 8, length));
      stretched.push_back(sample_of(group, reward * 1000, length));
    }
    const AlgorithmConfig config = config_of(GetParam());
    const auto base = compute_advantages(config, samples)->per_sample;
    const auto with_shift = compute_advantages(config, shifted)->per_sample;
    const auto with_stretch = compute_advantages(config, stretched)->per_sample;
    const double stretch = GetParam() == "rloo" ? 1000 : 1;  // rloo does not scale
    for (std::size_t i = 0; i < base.size(); ++i) {
      EXPECT_NEAR(with_shift[i], base[i], 1e-8) << "seed " << seed;
      EXPECT_LE(std::abs(with_stretch[i]), 1.2 * stretch * std::abs(base[i]) + 1e-3) << "seed " << seed;
      EXPECT_EQ(std::signbit(with_stretch[i]), std::signbit(base[i])) << "seed " << seed;
    }
  }
}

TEST(AdvantagesTest, SamplesAreNamedInErrors) {
  std::vector samples = {sample_of(1, 1, 2), sample_of(1, NAN, 2)};
  EXPECT_THAT(compute_advantages(config_of("grpo"), samples).error().message(), HasSubstr("sample 1: its reward"));
  samples[1].reward = 0;
  AlgorithmConfig config = config_of("rloo");
  config.beta = 0.1;
  EXPECT_THAT(compute_advantages(config, samples).error().message(), HasSubstr("sample 0: rloo with beta > 0"));
  EXPECT_THAT(compute_advantages(config_of("grop"), samples).error().message(), HasSubstr("'grpo'"));
}

}  // namespace
}  // namespace jigsaw
