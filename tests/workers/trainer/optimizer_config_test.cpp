#include "workers/trainer/optimizer_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

namespace jigsaw {
namespace {

using testing::HasSubstr;

TEST(LearningRateTest, EqualsTransformersSchedules) {
  std::ifstream file(JIGSAW_SOURCE_DIR "/tests/workers/trainer/golden/schedules.json");
  const auto cases = nlohmann::json::parse(file);
  ASSERT_EQ(cases.size(), 7u);
  for (const auto& golden : cases) {
    OptimizerConfig config;
    config.lr = golden["lr"];
    config.schedule = golden["schedule"];
    config.warmup_steps = golden["warmup_steps"];
    config.total_steps = golden["total_steps"];
    config.min_lr_ratio = golden["min_lr_ratio"];
    std::int64_t step = 0;
    for (const double rate : golden["rates"]) {
      ++step;
      EXPECT_NEAR(learning_rate_at(config, step), rate, 1e-15) << golden["schedule"] << " step " << step;
    }
  }
}

TEST(LearningRateTest, StaysAtTheFloorAfterTheLastStep) {
  for (const std::string schedule : {"linear", "cosine"}) {
    OptimizerConfig config;
    config.lr = 0.5;
    config.schedule = schedule;
    config.total_steps = 10;
    config.min_lr_ratio = 0.1;
    EXPECT_GT(learning_rate_at(config, 10), 0.05);
    EXPECT_NEAR(learning_rate_at(config, 11), 0.05, 1e-15);
    EXPECT_NEAR(learning_rate_at(config, 1000), 0.05, 1e-15);
  }
}

TEST(ClipFactorTest, BringsTheNormDownButNeverUp) {
  OptimizerConfig config;
  config.max_grad_norm = 0.5;
  EXPECT_NEAR(clip_factor(config, 2.0), 0.5 / 2.000001, 1e-15);
  EXPECT_EQ(clip_factor(config, 0.1), 1);
  EXPECT_EQ(clip_factor(config, 0), 1);
  config.max_grad_norm = 0;
  EXPECT_EQ(clip_factor(config, 100), 1);
}

TEST(OptimizerConfigTest, ValidationNamesTheSetting) {
  EXPECT_TRUE(validate(OptimizerConfig{}).ok());
  OptimizerConfig config;
  config.schedule = "cosin";
  EXPECT_THAT(validate(config).error().message(), HasSubstr("did you mean 'cosine'"));
  config = {};
  config.schedule = "linear";
  EXPECT_THAT(validate(config).error().message(), HasSubstr("total_steps"));
  config = {};
  config.beta2 = 1;
  EXPECT_THAT(validate(config).error().message(), HasSubstr("beta2"));
  config = {};
  config.lr = -1;
  EXPECT_THAT(validate(config).error().message(), HasSubstr("lr: -1"));
  config = {};
  config.max_grad_norm = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THAT(validate(config).error().message(), HasSubstr("max_grad_norm"));
}

}  // namespace
}  // namespace jigsaw
