#include "rollout/engine/stop_matcher.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "tests/support/fake_tokenizer.h"

namespace jigsaw {
namespace {

using testing::FakeTokenizer;

const FakeTokenizer kTokenizer({"a", "b", "ab", "ba", "aab", "", "bbabb", "\xff"});

// Index of the token at which the completion ends; -1: none.
int stop_index(const SamplingParams& params, const std::vector<TokenId>& eos_tokens,
               const std::vector<TokenId>& tokens) {
  StopMatcher matcher(params, eos_tokens, &kTokenizer);
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (matcher.accept(tokens[i])) return static_cast<int>(i);
  }
  return -1;
}

TEST(StopMatcherTest, EndsAtEosUnlessIgnored) {
  SamplingParams params;
  EXPECT_EQ(stop_index(params, {1, 4}, {0, 2, 4, 1}), 2);
  params.ignore_eos = true;
  EXPECT_EQ(stop_index(params, {1, 4}, {0, 2, 4, 1}), -1);
  params.stop_tokens = {4};
  EXPECT_EQ(stop_index(params, {1, 4}, {0, 2, 4, 1}), 2);
}

TEST(StopMatcherTest, StopStringSpansTokens) {
  SamplingParams params;
  params.stop_strings = {"aba"};
  EXPECT_EQ(stop_index(params, {}, {0, 5, 1, 5, 0, 0}), 4);  // a, "", b, "", a
  EXPECT_EQ(stop_index(params, {}, {1, 2, 0}), 2);           // b, ab, a
  EXPECT_EQ(stop_index(params, {}, {0, 0, 1, 1}), -1);
}

TEST(StopMatcherTest, StopStringMayEndInsideAToken) {
  SamplingParams params;
  params.stop_strings = {"bba"};
  EXPECT_EQ(stop_index(params, {}, {0, 6, 0}), 1);
}

TEST(StopMatcherTest, BytesNeedNotBeText) {
  SamplingParams params;
  params.stop_strings = {"\xff\xff"};
  EXPECT_EQ(stop_index(params, {}, {7, 0, 7, 7}), 3);
}

TEST(StopMatcherTest, AgreesWithASearchOfTheWholeText) {
  std::mt19937_64 random(3);
  int num_stopped = 0;
  for (int trial = 0; trial < 3000; ++trial) {
    SamplingParams params;
    for (std::uint64_t i = 0; i < 1 + random() % 3; ++i) {
      std::string stop;
      for (std::uint64_t length = 1 + random() % 7; stop.size() < length;) stop += random() % 2 == 0 ? 'a' : 'b';
      params.stop_strings.push_back(stop);
    }
    std::vector<TokenId> tokens;
    for (int i = 0; i < 12; ++i) tokens.push_back(static_cast<TokenId>(random() % 8));
    int expected = -1;
    std::string text;
    for (std::size_t i = 0; i < tokens.size() && expected < 0; ++i) {
      text += kTokenizer.token_bytes(tokens[i]);
      for (const std::string& stop : params.stop_strings) {
        if (text.find(stop) != std::string::npos) expected = static_cast<int>(i);
      }
    }
    ASSERT_EQ(stop_index(params, {}, tokens), expected) << text;
    num_stopped += expected >= 0;
  }
  EXPECT_GT(num_stopped, 500);
  EXPECT_LT(num_stopped, 2900);
}

}  // namespace
}  // namespace jigsaw
