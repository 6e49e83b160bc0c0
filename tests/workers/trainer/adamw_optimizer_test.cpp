#include "workers/trainer/adamw_optimizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <limits>

#include "tests/workers/trainer/temporary_folder.h"
#include "tests/workers/trainer/tiny_models.h"

namespace jigsaw {
namespace {

using testing::HasSubstr;

OptimizerConfig golden_config() {
  OptimizerConfig config;
  config.lr = 3e-3;
  config.schedule = "cosine";
  config.warmup_steps = 2;
  config.total_steps = 8;
  config.beta1 = 0.8;
  config.beta2 = 0.95;
  config.eps = 1e-6;
  config.weight_decay = 0.1;
  config.max_grad_norm = 0.5;
  return config;
}

// The gradient of golden/make_goldens.py for a step.
AlignedFloats golden_gradient(const ParameterLayout& layout, int step) {
  AlignedFloats gradient(layout.num_floats());
  fill_flat(layout, gradient.span(), [&](const std::string& hf_name, std::size_t rows, std::size_t cols) {
    std::vector<float> values;
    const std::string name = "gradient." + std::to_string(step) + "." + hf_name;
    for (const double u : hashed_uniform(name, rows * std::max<std::size_t>(cols, 1))) {
      values.push_back(static_cast<float>(u * (0.01 * step)));
    }
    return values;
  });
  return gradient;
}

std::vector<float> copy_of(std::span<const float> values) { return {values.begin(), values.end()}; }

TEST(AdamwOptimizerTest, EqualsTorchWithClippingScheduleAndDecay) {
  const nlohmann::json golden = read_golden("adamw.json");
  const auto weights = tiny_model("llama");
  AdamwOptimizer optimizer(*weights, golden_config());
  Lane lane(2);
  int step = 0;
  for (const auto& expected : golden["steps"]) {
    ++step;
    const AlignedFloats gradient = golden_gradient(weights->layout(), step);
    const auto stats = optimizer.step(lane, gradient.span());
    ASSERT_TRUE(stats.ok());
    EXPECT_NEAR(stats->lr, expected["lr"].get<double>(), 1e-12);
    EXPECT_NEAR(stats->grad_norm, expected["grad_norm"].get<double>(), 1e-6);
    for (std::size_t i = 0; i < golden["entries"].size(); ++i) {
      const auto& entry = golden["entries"][i];
      const std::size_t index = flat_index(weights->layout(), entry[0], entry[1], entry[2]);
      EXPECT_NEAR(weights->floats()[index], expected["values"][i].get<double>(), 1e-6) << step << " " << entry;
    }
  }
  EXPECT_EQ(step, 6);
  EXPECT_EQ(optimizer.num_steps(), 6);
}

TEST(AdamwOptimizerTest, PaddingStaysZero) {
  const auto weights = tiny_model("llama");
  const Parameter& embedding = weights->layout().parameter(weights->layout().embedding());
  ASSERT_EQ(embedding.rows % 16, 5);  // lanes 5 to 15 of the last panel are padding
  AdamwOptimizer optimizer(*weights, golden_config());
  Lane lane(1);
  for (int step = 1; step <= 3; ++step) {
    ASSERT_TRUE(optimizer.step(lane, golden_gradient(weights->layout(), step).span()).ok());
  }
  const float* last_panel = weights->parameter(weights->layout().embedding()) + 2 * embedding.cols * 16;
  for (int i = 0; i < embedding.cols * 16; ++i) {
    if (i % 16 >= 5) {
      EXPECT_EQ(last_panel[i], 0.0f);
    }
  }
}

TEST(AdamwOptimizerTest, ANonFiniteGradientIsRefusedAndChangesNothing) {
  const auto weights = tiny_model("llama");
  AdamwOptimizer optimizer(*weights, golden_config());
  Lane lane(1);
  ASSERT_TRUE(optimizer.step(lane, golden_gradient(weights->layout(), 1).span()).ok());
  const std::vector<float> before = copy_of(weights->floats());
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    AlignedFloats gradient = golden_gradient(weights->layout(), 2);
    gradient.span()[77] = bad;
    const auto stats = optimizer.step(lane, gradient.span());
    ASSERT_FALSE(stats.ok());
    EXPECT_THAT(stats.error().message(), HasSubstr("update 2"));
    EXPECT_THAT(stats.error().message(), HasSubstr("Lower lr"));
  }
  EXPECT_EQ(copy_of(weights->floats()), before);
  EXPECT_EQ(optimizer.num_steps(), 1);
}

TEST(AdamwOptimizerTest, LoadedStateContinuesToTheBit) {
  const TemporaryFolder folder;
  const std::string file = folder / "optimizer.safetensors";
  Lane lane(2);
  const auto straight = tiny_model("qwen3_tied");
  AdamwOptimizer whole(*straight, golden_config());
  const auto resumed = tiny_model("qwen3_tied");
  for (int step = 1; step <= 6; ++step) {
    const AlignedFloats gradient = golden_gradient(straight->layout(), step);
    ASSERT_TRUE(whole.step(lane, gradient.span()).ok());
    AdamwOptimizer one_step(*resumed, golden_config());  // a new one each step, as after a restart
    if (step > 1) {
      ASSERT_TRUE(one_step.load(file).ok());
    }
    ASSERT_TRUE(one_step.step(lane, gradient.span()).ok());
    ASSERT_TRUE(one_step.save(file).ok());
    EXPECT_EQ(copy_of(resumed->floats()), copy_of(straight->floats())) << step;
    EXPECT_EQ(one_step.num_steps(), step);
  }
}

TEST(AdamwOptimizerTest, StateBeforeTheFirstStepCanBeSaved) {
  const TemporaryFolder folder;
  const std::string file = folder / "optimizer.safetensors";
  const auto weights = tiny_model("llama");
  ASSERT_TRUE(AdamwOptimizer(*weights, golden_config()).save(file).ok());
  AdamwOptimizer loaded(*weights, golden_config());
  ASSERT_TRUE(loaded.load(file).ok());
  EXPECT_EQ(loaded.num_steps(), 0);
}

TEST(AdamwOptimizerTest, AnotherModelsStateIsRefused) {
  const TemporaryFolder folder;
  const std::string file = folder / "optimizer.safetensors";
  Lane lane(1);
  const auto llama = tiny_model("llama");
  AdamwOptimizer saved(*llama, golden_config());
  ASSERT_TRUE(saved.step(lane, golden_gradient(llama->layout(), 1).span()).ok());
  ASSERT_TRUE(saved.save(file).ok());
  const auto qwen = tiny_model("qwen3_tied");
  AdamwOptimizer loaded(*qwen, golden_config());
  const Status status = loaded.load(file);
  ASSERT_FALSE(status.ok());
  EXPECT_THAT(status.error().message(), HasSubstr(file));
}

TEST(AdamwOptimizerTest, ABrokenFileIsAnErrorAndLeavesTheState) {
  const TemporaryFolder folder;
  const std::string file = folder / "optimizer.safetensors", cut = folder / "cut.safetensors";
  Lane lane(1);
  const auto weights = tiny_model("llama");
  AdamwOptimizer optimizer(*weights, golden_config());
  ASSERT_TRUE(optimizer.step(lane, golden_gradient(weights->layout(), 1).span()).ok());
  ASSERT_TRUE(optimizer.save(file).ok());
  EXPECT_EQ(optimizer.load(folder / "none").error().code(), ErrorCode::kNotFound);
  const auto size = std::filesystem::file_size(file);
  for (const auto length : {std::uintmax_t{0}, std::uintmax_t{7}, std::uintmax_t{100}, size / 2, size - 1}) {
    std::filesystem::copy_file(file, cut, std::filesystem::copy_options::overwrite_existing);
    std::filesystem::resize_file(cut, length);
    EXPECT_FALSE(optimizer.load(cut).ok()) << length;
  }
  EXPECT_EQ(optimizer.num_steps(), 1);
  // Still the state of step 1: both go on alike.
  const auto other_weights = tiny_model("llama");
  AdamwOptimizer other(*other_weights, golden_config());
  for (int step = 1; step <= 2; ++step) {
    ASSERT_TRUE(other.step(lane, golden_gradient(weights->layout(), step).span()).ok());
  }
  ASSERT_TRUE(optimizer.step(lane, golden_gradient(weights->layout(), 2).span()).ok());
  EXPECT_EQ(copy_of(weights->floats()), copy_of(other_weights->floats()));
}

TEST(AdamwOptimizerTest, SavingLeavesNothingBehindAndReplacesWhole) {
  const TemporaryFolder folder;
  const std::string file = folder / "optimizer.safetensors";
  std::ofstream(file) << "what stood here before";
  const auto weights = tiny_model("llama");
  AdamwOptimizer optimizer(*weights, golden_config());
  ASSERT_TRUE(optimizer.save(file).ok());
  EXPECT_TRUE(optimizer.load(file).ok());
  int num_files = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder.path())) ++num_files;
  EXPECT_EQ(num_files, 1);
  EXPECT_FALSE(optimizer.save(folder / "no/such/folder/file").ok());
}

}  // namespace
}  // namespace jigsaw
