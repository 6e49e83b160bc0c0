#include "rollout/engine/decode_bench.h"

#include <gtest/gtest.h>

#include "tests/rollout/engine/engine_testing.h"
#include "tests/rollout/models/model_testing.h"

namespace jigsaw {
namespace {

TEST(DecodeBenchTest, DecodesTheGreedyTokensOnBothPaths) {
  const auto weights = testing::small_model("qwen2");
  RolloutRequest request;
  for (int i = 0; i < 20; ++i) request.prompt.push_back((100 + i) % weights->config().vocab_size);
  request.sampling = {.temperature = 0, .max_new_tokens = 8, .ignore_eos = true};
  const RolloutOutput expected =
      testing::generate_naively({.next_logits = testing::transformer_logits(*weights, 64)}, request);

  Lane lane(2);
  for (const bool through_engine : {false, true}) {
    SCOPED_TRACE(through_engine);
    const auto result = run_decode_bench(
        lane, *weights,
        {.batch = 3, .prompt_tokens = 20, .new_tokens = 15, .repeats = 2, .through_engine = through_engine});
    ASSERT_TRUE(result.ok()) << result.error().message();
    EXPECT_EQ(result->first_tokens, expected.tokens);
    EXPECT_EQ(result->peer, through_engine ? "jigsaw-engine" : "jigsaw");
    EXPECT_EQ(result->batch, 3);
    EXPECT_EQ(result->threads, 2);
    EXPECT_GT(result->tok_per_s_range[0], 0);
    EXPECT_LE(result->tok_per_s_range[0], result->tok_per_s);
    EXPECT_GE(result->tok_per_s_range[1], result->tok_per_s);
    EXPECT_GE(result->foreign_cores, 0);
  }
}

TEST(DecodeBenchTest, RefusesWhatCannotBeMeasured) {
  const auto weights = testing::small_model("llama");
  Lane lane(1);
  EXPECT_FALSE(run_decode_bench(lane, *weights, {.batch = 0}).ok());
  EXPECT_FALSE(run_decode_bench(lane, *weights, {.repeats = 0}).ok());
  EXPECT_FALSE(run_decode_bench(lane, *weights, {.batch = 1 << 30, .new_tokens = 1000}).ok());
  EXPECT_FALSE(run_decode_bench(lane, *weights, {.new_tokens = 2000000000}).ok());
}

}  // namespace
}  // namespace jigsaw
