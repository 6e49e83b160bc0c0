#include "workers/trainer/sample_checks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>

namespace jigsaw {
namespace {

using testing::HasSubstr;

TrainingSample good_sample() {
  TrainingSample sample;
  sample.tokens = {4, 5, 6, 7};
  sample.prompt_length = 2;
  sample.old_logprobs = {-1, -2};
  sample.ref_logprobs = {-1, -2};
  return sample;
}

std::string error_after(const std::function<void(TrainingSample&)>& change) {
  TrainingSample sample = good_sample();
  change(sample);
  const Status status = check_for_model("here", sample, {.vocab_size = 8, .max_positions = 4});
  return status.ok() ? "" : status.error().message();
}

TEST(SampleChecksTest, AGoodSamplePasses) {
  EXPECT_EQ(error_after([](TrainingSample&) {}), "");
  EXPECT_EQ(error_after([](TrainingSample& s) { s.old_logprobs.clear(); }), "");
}

TEST(SampleChecksTest, EachFaultIsNamed) {
  EXPECT_THAT(error_after([](TrainingSample& s) { s.prompt_length = 0; }), HasSubstr("here: its prompt is empty"));
  EXPECT_THAT(error_after([](TrainingSample& s) { s.prompt_length = 5; }), HasSubstr("exceeds its 4 tokens"));
  EXPECT_THAT(error_after([](TrainingSample& s) { s.reward = std::numeric_limits<double>::infinity(); }),
              HasSubstr("reward"));
  EXPECT_THAT(error_after([](TrainingSample& s) { s.old_logprobs.pop_back(); }),
              HasSubstr("old_logprobs has 1 values for 2 completion tokens"));
  EXPECT_THAT(error_after([](TrainingSample& s) { s.ref_logprobs[1] = std::numeric_limits<float>::quiet_NaN(); }),
              HasSubstr("ref_logprobs is not finite"));
  for (const std::vector<TokenRun>& given : {std::vector<TokenRun>{{0, 3}}, {{1, 0}}, {{-1, 1}}, {{1, 2}, {0, 1}}}) {
    EXPECT_THAT(error_after([&](TrainingSample& s) { s.given = given; }), HasSubstr("no run of its completion"));
  }
  EXPECT_THAT(error_after([](TrainingSample& s) { s.tokens[0] = 8; }), HasSubstr("token 8 is not in the model's"));
  EXPECT_THAT(error_after([](TrainingSample& s) { s.tokens[3] = -1; }), HasSubstr("token -1"));
  EXPECT_THAT(error_after([](TrainingSample& s) {
                s.tokens.push_back(0);
                s.old_logprobs.clear();
                s.ref_logprobs.clear();
              }),
              HasSubstr("its 5 tokens exceed max_positions (4)"));
}

TEST(SampleChecksTest, ALossWithKlNeedsTheReference) {
  TrainingSample sample = good_sample();
  sample.ref_logprobs.clear();
  AlgorithmConfig config;
  const std::vector<double> advantages = {1, 1};
  EXPECT_TRUE(check_for_loss("here", config, sample, advantages).ok());
  config.beta = 0.1;
  EXPECT_THAT(check_for_loss("here", config, sample, advantages).error().message(), HasSubstr("no ref_logprobs"));
  config.name = "rloo";  // its KL is in the reward
  EXPECT_TRUE(check_for_loss("here", config, sample, advantages).ok());
}

}  // namespace
}  // namespace jigsaw
