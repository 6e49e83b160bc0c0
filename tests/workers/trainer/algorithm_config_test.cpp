#include "workers/trainer/algorithm_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "workers/trainer/algorithms/algorithm.h"

namespace jigsaw {
namespace {

using testing::HasSubstr;
using testing::UnorderedElementsAre;

TEST(AlgorithmRegistryTest, HasTheSevenAlgorithms) {
  EXPECT_THAT(algorithm_names(),
              UnorderedElementsAre("grpo", "dr_grpo", "dapo", "rloo", "reinforce_pp", "gspo", "cispo"));
}

TEST(AlgorithmRegistryTest, OnlyTokenRatiosMeetAdvantagesThatDifferByToken) {
  for (const Algorithm& algorithm : all_algorithms()) {
    if (algorithm.advantages == token_return_advantages) {
      EXPECT_EQ(algorithm.ratio, RatioLevel::kToken);
    }
    EXPECT_EQ(find_algorithm(algorithm.name), &algorithm);
  }
  EXPECT_EQ(find_algorithm("ppo"), nullptr);
}

TEST(AlgorithmConfigTest, OptionsAreSetFromText) {
  AlgorithmConfig config;
  for (const auto& [key, value] : std::vector<std::pair<std::string, std::string>>{{"name", "dr_grpo"},
                                                                                   {"epsilon", "0.3"},
                                                                                   {"epsilon_high", "0.4"},
                                                                                   {"beta", "1e-3"},
                                                                                   {"kl_estimator", "k1"},
                                                                                   {"scale_rewards", "none"},
                                                                                   {"use_bias_correction_kl", "false"},
                                                                                   {"normalize_advantages", "true"},
                                                                                   {"max_completion_length", "256"},
                                                                                   {"importance_cap", "2"}}) {
    EXPECT_TRUE(set_algorithm_option(config, key, value).ok()) << key;
  }
  EXPECT_EQ(config.name, "dr_grpo");
  EXPECT_EQ(config.epsilon, 0.3);
  EXPECT_EQ(config.epsilon_high, 0.4);
  EXPECT_EQ(config.beta, 1e-3);
  EXPECT_EQ(config.kl_estimator, "k1");
  EXPECT_EQ(config.scale_rewards, "none");
  EXPECT_FALSE(config.use_bias_correction_kl);
  EXPECT_TRUE(config.normalize_advantages);
  EXPECT_EQ(config.max_completion_length, 256);
  EXPECT_EQ(config.importance_cap, 2);
  EXPECT_TRUE(validate(config).ok());
}

TEST(AlgorithmConfigTest, AMistypedKeyGetsTheNearestName) {
  AlgorithmConfig config;
  EXPECT_THAT(set_algorithm_option(config, "epsilon_hihg", "1").error().message(),
              HasSubstr("did you mean 'epsilon_high'"));
}

TEST(AlgorithmConfigTest, ABadValueIsNamedWithItsKey) {
  AlgorithmConfig config;
  EXPECT_THAT(set_algorithm_option(config, "beta", "0.1x").error().message(),
              HasSubstr("beta: '0.1x' is not a number"));
  EXPECT_FALSE(set_algorithm_option(config, "beta", "nan").ok());
  EXPECT_FALSE(set_algorithm_option(config, "beta", "").ok());
  EXPECT_FALSE(set_algorithm_option(config, "max_completion_length", "1.5").ok());
  EXPECT_THAT(set_algorithm_option(config, "use_bias_correction_kl", "maybe").error().message(),
              HasSubstr("true or false"));
}

TEST(AlgorithmConfigTest, ValidationNamesTheSetting) {
  AlgorithmConfig config;
  config.name = "grppo";
  EXPECT_THAT(validate(config).error().message(), HasSubstr("did you mean 'grpo'"));
  config = {};
  config.scale_rewards = "groups";
  EXPECT_THAT(validate(config).error().message(), HasSubstr("did you mean 'group'"));
  config = {};
  config.kl_estimator = "k4";
  EXPECT_THAT(validate(config).error().message(), HasSubstr("kl_estimator"));
  config = {};
  config.beta = -1;
  EXPECT_THAT(validate(config).error().message(), HasSubstr("beta"));
  config = {};
  config.name = "dr_grpo";
  EXPECT_THAT(validate(config).error().message(), HasSubstr("max_completion_length"));
}

TEST(AlgorithmConfigTest, TheUpperEpsilonIsTheLowerOneUnlessGiven) {
  AlgorithmConfig config;
  config.epsilon = 0.15;
  EXPECT_EQ(config.upper_epsilon(), 0.15);
  config.epsilon_high = 0.3;
  EXPECT_EQ(config.upper_epsilon(), 0.3);
}

}  // namespace
}  // namespace jigsaw
