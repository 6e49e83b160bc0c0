#include "workers/trainer/loss_batch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "core/philox.h"

namespace jigsaw {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

Result<std::vector<TrainingSample>> read(const std::string& text) {
  std::istringstream lines(text);
  return read_loss_batch(lines, "batch.jsonl");
}

constexpr const char* kGood = R"({"group":1,"reward":0.5,"prompt_tokens":[1,2],"tokens":[3,4]})";

std::string error_of(const std::string& second_line) {
  const auto samples = read(std::string(kGood) + "\n" + second_line + "\n");
  return samples.ok() ? "" : samples.error().message();
}

TEST(LossBatchTest, ReadsALineACompletion) {
  const auto samples = read(
      "{\"group\":-3,\"reward\":2,\"prompt_tokens\":[7],\"tokens\":[8,9],\"old_logprobs\":[-1,-0.5],"
      "\"ref_logprobs\":[-2,0]}\r\n\n" +
      std::string(kGood));
  ASSERT_TRUE(samples.ok());
  ASSERT_EQ(samples->size(), 2u);
  const TrainingSample& first = (*samples)[0];
  EXPECT_EQ(first.group, -3);
  EXPECT_EQ(first.reward, 2);
  EXPECT_EQ(first.prompt_length, 1);
  EXPECT_THAT(first.tokens, ElementsAre(7, 8, 9));
  EXPECT_THAT(first.old_logprobs, ElementsAre(-1, -0.5));
  EXPECT_THAT(first.ref_logprobs, ElementsAre(-2, 0));
  EXPECT_TRUE((*samples)[1].old_logprobs.empty());
}

TEST(LossBatchTest, NullAndAbsentLogprobsAreTheSame) {
  EXPECT_EQ(error_of(R"({"group":1,"reward":0,"prompt_tokens":[1],"tokens":[3],"old_logprobs":null})"), "");
}

TEST(LossBatchTest, ErrorsNameTheLine) {
  EXPECT_EQ(error_of("{\"group\":"), "batch.jsonl:2: not valid JSON");
  EXPECT_EQ(error_of("[1]"), "batch.jsonl:2: not a JSON object");
  EXPECT_THAT(error_of(R"({"group":1,"reward":0,"prompt_tokens":[1],"tokens":[3],"old_logprob":[1]})"),
              HasSubstr("batch.jsonl:2: unknown key 'old_logprob'; did you mean 'old_logprobs'"));
  EXPECT_EQ(error_of(R"({"reward":0,"prompt_tokens":[1],"tokens":[3]})"), "batch.jsonl:2: 'group' is missing");
  EXPECT_EQ(error_of(R"({"group":"a","reward":0,"prompt_tokens":[1],"tokens":[3]})"),
            "batch.jsonl:2: 'group' is not a whole number");
  EXPECT_EQ(error_of(R"({"group":1,"reward":"0","prompt_tokens":[1],"tokens":[3]})"),
            "batch.jsonl:2: 'reward' is not a number");
  EXPECT_EQ(error_of(R"({"group":1,"reward":0,"prompt_tokens":[1],"tokens":[3,-1]})"),
            "batch.jsonl:2: 'tokens': item 1 is not a token id");
  EXPECT_EQ(error_of(R"({"group":1,"reward":0,"prompt_tokens":[1],"tokens":[4294967299]})"),
            "batch.jsonl:2: 'tokens': item 0 is not a token id");
  EXPECT_THAT(error_of(R"({"group":1,"reward":0,"prompt_tokens":[],"tokens":[3]})"), HasSubstr("prompt is empty"));
  EXPECT_EQ(error_of(R"({"group":1,"reward":0,"prompt_tokens":[1],"tokens":[3],"old_logprobs":[]})"),
            "batch.jsonl:2: 'old_logprobs' has 0 values for 1 tokens");
  EXPECT_EQ(error_of(R"({"group":1,"reward":0,"prompt_tokens":[1],"tokens":[3],"ref_logprobs":["x"]})"),
            "batch.jsonl:2: 'ref_logprobs': item 0 is not a number");
  EXPECT_THAT(error_of(R"({"group":1,"reward":1e999,"prompt_tokens":[1],"tokens":[3]})"), StartsWith("batch.jsonl:2"));
  EXPECT_THAT(error_of(R"({"group":1,"reward":0,"prompt_tokens":[1],"tokens":[3],"old_logprobs":[1e300]})"),
              HasSubstr("not finite"));
}

TEST(LossBatchTest, AnEmptyFileIsAnError) {
  EXPECT_EQ(read("\n \n").error().message(), "batch.jsonl: no completions in it");
}

TEST(LossBatchTest, HostileLinesAreErrors) {
  EXPECT_NE(error_of("{\"tokens\":" + std::string(100000, '[') + std::string(100000, ']') + "}"), "");
  EXPECT_NE(error_of(std::string("{\"group\":1\0}", 12)), "");
  // Any one byte of a good line changed: parsed or refused, never a crash.
  const std::string good = R"({"group":1,"reward":0,"prompt_tokens":[1],"tokens":[3],"old_logprobs":[-1.5]})";
  for (std::size_t at = 0; at < good.size(); ++at) {
    for (std::uint64_t round = 0; round < 16; ++round) {
      std::string changed = good;
      changed[at] = static_cast<char>(philox(at, round, 0)[0]);
      if (changed[at] == '\n') continue;
      (void)error_of(changed);
    }
  }
}

}  // namespace
}  // namespace jigsaw
