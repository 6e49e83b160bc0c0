#include "rollout/engine/generate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/rollout/models/model_testing.h"

namespace jigsaw {
namespace {

using ::testing::HasSubstr;

class GenerateTest : public ::testing::Test {
 protected:
  Result<std::vector<RolloutOutput>> run(const std::vector<std::vector<TokenId>>& prompts,
                                         const GenerateOptions& options) {
    return generate(lane_, *weights_, nullptr, prompts, options);
  }

  const std::unique_ptr<PolicyWeights> weights_ = testing::small_model("llama");
  Lane lane_{1};
};

TEST_F(GenerateTest, NothingToDoIsNoError) {
  const auto outputs = run({}, {});
  ASSERT_TRUE(outputs.ok());
  EXPECT_TRUE(outputs->empty());
}

TEST_F(GenerateTest, BadPromptIsNamedByItsIndex) {
  const auto empty = run({{1}, {}}, {});
  ASSERT_FALSE(empty.ok());
  EXPECT_THAT(empty.error().message(), HasSubstr("rollout request 1: the prompt is empty"));
  const auto outside = run({{1}, {2}, {3, 83}}, {});
  ASSERT_FALSE(outside.ok());
  EXPECT_THAT(outside.error().message(), HasSubstr("rollout request 2: prompt[1]: token 83"));
}

TEST_F(GenerateTest, AbsurdLengthIsRefusedBeforeAnythingIsAllocated) {
  GenerateOptions options;
  options.sampling.max_new_tokens = 2000000000;
  const auto outputs = run({{1, 2}}, options);
  ASSERT_FALSE(outputs.ok());
  EXPECT_EQ(outputs.error().code(), ErrorCode::kInvalidArgument);
}

TEST_F(GenerateTest, SeedAndSamplingDecideWhatComes) {
  GenerateOptions options;
  options.sampling.max_new_tokens = 10;
  const auto first = run({{1, 2, 3}}, options);
  options.seed = 1;
  const auto second = run({{1, 2, 3}}, options);
  EXPECT_NE(first->at(0).tokens, second->at(0).tokens);
  options.sampling.temperature = 0;
  const auto greedy = run({{1, 2, 3}, {1, 2, 3}}, options);
  EXPECT_EQ(greedy->at(0).tokens, greedy->at(1).tokens);
  EXPECT_EQ(greedy->at(0).finish_reason, FinishReason::kLength);
}

TEST_F(GenerateTest, PositionsPastThoseTheModelWasMadeForAreAllowed) {
  GenerateOptions options;
  options.sampling.max_new_tokens = weights_->config().max_positions + 10;
  const auto outputs = run({{1, 2, 3}}, options);
  ASSERT_TRUE(outputs.ok());
  EXPECT_EQ(outputs->at(0).tokens.size(), static_cast<std::size_t>(options.sampling.max_new_tokens));
}

}  // namespace
}  // namespace jigsaw
