// What completions ask of tools, and what becomes of the answers' tokens on their way to the trainer.
#include "workers/stages/tool_calls.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "workers/stages/training_samples.h"

namespace jigsaw {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(ToolCallsTest, ACallIsWhatStandsBetweenItsMarks) {
  const ToolConfig marked{.type = "calculator", .call_begin = "<<", .call_end = ">>"};
  EXPECT_EQ(call_in("so <<1+2>>", marked), "1+2");
  EXPECT_EQ(call_in("<<no, <<1+2>> and", marked), "1+2") << "the last one that was begun";
  EXPECT_EQ(call_in("<<>>", marked), "");
  EXPECT_EQ(call_in("1+2>>", marked), std::nullopt);
  EXPECT_EQ(call_in("1>> <<2", marked), std::nullopt) << "it began after the end";
  const ToolConfig open{.type = "calculator", .call_end = "="};
  EXPECT_EQ(call_in("1+2=", open), "1+2");
  EXPECT_EQ(call_in("=", open), "");
}

wire::Trajectory trajectory_with(std::vector<std::uint32_t> given) {
  wire::Trajectory trajectory;
  for (const int token : {10, 11, 0, 1, 2, 3, 4}) trajectory.add_tokens(token);
  trajectory.set_prompt_length(2);
  for (const float logprob : {-1.0f, 0.0f, 0.0f, -2.0f, -3.0f}) trajectory.add_logprobs(logprob);
  trajectory.mutable_given()->Add(given.begin(), given.end());
  return trajectory;
}

TEST(TrainingSamplesTest, GivenTokensHaveNoValuesInTraining) {
  const TrainingSample sample = to_training_sample(trajectory_with({1, 3}));
  EXPECT_THAT(sample.given, ElementsAre(TokenRun{1, 3}));
  EXPECT_EQ(sample.completion_length(), 3);
  EXPECT_THAT(sample.old_logprobs, ElementsAre(-1, -2, -3));
  EXPECT_THAT(sample.ref_logprobs, IsEmpty());
  EXPECT_THAT(for_each_completion_token(sample, sample.old_logprobs), ElementsAre(-1, 0, 0, -2, -3));
}

TEST(TrainingSamplesTest, AnswersMayBeEmptyAndMayEndACompletion) {
  const TrainingSample ends = to_training_sample(trajectory_with({1, 1, 3, 5}));
  EXPECT_EQ(ends.completion_length(), 3);
  EXPECT_THAT(ends.old_logprobs, ElementsAre(-1, 0, 0));
  EXPECT_THAT(for_each_completion_token(ends, std::vector<float>{7, 8, 9}), ElementsAre(7, 8, 9, 0, 0));
  EXPECT_EQ(to_training_sample(trajectory_with({})).completion_length(), 5);
}

}  // namespace
}  // namespace jigsaw
