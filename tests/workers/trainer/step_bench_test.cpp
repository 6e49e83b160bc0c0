#include "workers/trainer/step_bench.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/workers/trainer/tiny_models.h"

namespace jigsaw {
namespace {

using testing::HasSubstr;

TEST(StepBenchTest, TimesEachStepAndTrains) {
  const auto weights = tiny_model("llama");
  const std::string before = weights->hash();
  StepBenchOptions options;
  options.prompt_tokens = 3;
  options.completion_lengths = {4, 1, 7, 2};
  options.num_steps = 2;
  Lane lane(1);
  const auto timings = time_training_steps(lane, *weights, options);
  ASSERT_TRUE(timings.ok()) << timings.error().message();
  ASSERT_EQ(timings->size(), 2u);
  for (const StepTiming& timing : *timings) {
    EXPECT_EQ(timing.num_tokens, 26);
    EXPECT_GT(timing.forward_backward_s, 0);
    EXPECT_GT(timing.update_s, 0);
  }
  EXPECT_NE(weights->hash(), before);
}

TEST(StepBenchTest, RefusesWhatCannotRun) {
  const auto weights = tiny_model("llama");
  Lane lane(1);
  StepBenchOptions options;
  EXPECT_THAT(time_training_steps(lane, *weights, options).error().message(), HasSubstr("no samples"));
  options.completion_lengths = {49};
  EXPECT_THAT(time_training_steps(lane, *weights, options).error().message(), HasSubstr("64 positions"));
  options.completion_lengths = {4, 0};
  EXPECT_FALSE(time_training_steps(lane, *weights, options).ok());
}

}  // namespace
}  // namespace jigsaw
