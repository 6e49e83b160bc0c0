#include "rollout/models/logprobs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/rollout/models/model_testing.h"

namespace jigsaw {
namespace {

using ::testing::HasSubstr;

class SequenceLogprobsTest : public ::testing::Test {
 protected:
  std::unique_ptr<PolicyWeights> weights_ = testing::small_model("qwen3");
  Transformer transformer_{*weights_, 400};
  Lane lane_{2};
};

TEST_F(SequenceLogprobsTest, AreThoseOfDecodingTokenByToken) {
  const auto tokens = testing::random_tokens(400, 83, 1);  // longer than a chunk
  const auto logprobs = sequence_logprobs(transformer_, lane_, tokens);
  ASSERT_TRUE(logprobs) << logprobs.error().message();
  const auto decoded = testing::decoded_logprobs(transformer_, lane_, {tokens, 1});
  EXPECT_EQ(testing::bits(*logprobs), testing::bits(decoded));
}

TEST_F(SequenceLogprobsTest, OneTokenGivesAnEmptyList) {
  const std::vector<std::int32_t> tokens = {82};
  const auto logprobs = sequence_logprobs(transformer_, lane_, tokens);
  ASSERT_TRUE(logprobs);
  EXPECT_TRUE(logprobs->empty());
}

TEST_F(SequenceLogprobsTest, BadTokensAndLengthsAreNamed) {
  const auto error_of = [&](const std::vector<std::int32_t>& tokens) {
    const auto result = sequence_logprobs(transformer_, lane_, tokens);
    if (result) return std::string("no error");
    EXPECT_EQ(result.error().code(), ErrorCode::kInvalidArgument);
    return result.error().message();
  };
  EXPECT_THAT(error_of({}), HasSubstr("at least one token"));
  EXPECT_THAT(error_of({1, 2, 83}), HasSubstr("token 83 at index 2 is not in the vocabulary (ids 0 to 82)"));
  EXPECT_THAT(error_of({1, -1, 3}), HasSubstr("token -1 at index 1"));
  EXPECT_THAT(error_of(std::vector<std::int32_t>(401, 1)), HasSubstr("has 401 tokens"));
  EXPECT_THAT(error_of(std::vector<std::int32_t>(401, 1)), HasSubstr("at most 400"));
}

}  // namespace
}  // namespace jigsaw
