#include "rollout/engine/prefill_bench.h"

#include <gtest/gtest.h>

#include "tests/rollout/models/model_testing.h"

namespace jigsaw {
namespace {

// By hand: two layers, hidden 4, two heads and one key-value head of 2 channels, MLP of 6, vocabulary of 10.
TEST(PrefillBenchTest, FlopsAreThoseOfTheProductsAndTheAttention) {
  ModelConfig config;
  config.hidden_size = 4;
  config.num_layers = 2;
  config.num_heads = 2;
  config.num_kv_heads = 1;
  config.head_dim = 2;
  config.intermediate_size = 6;
  config.vocab_size = 10;
  const double matrices = 4 * 4 + 2 * 4 * 2 + 4 * 4 + 3 * 4 * 6;
  // Position i sees i + 1 keys and values of each of the two heads.
  const double attention = 2 * 2 * 2 * (1 + 2 + 3);
  EXPECT_DOUBLE_EQ(prefill_flops(config, 3), 2 * (2 * (3 * matrices + attention) + 4 * 10));
}

TEST(PrefillBenchTest, MeasuresOneAndAGroup) {
  const auto weights = testing::small_model("llama");
  Lane lane(1);
  for (const int group : {1, 3}) {
    const auto result = run_prefill_bench(lane, *weights, {.prompt_tokens = 20, .group = group, .repeats = 1});
    ASSERT_TRUE(result.ok()) << result.error().message();
    EXPECT_GT(result->first_token_s, 0);
    EXPECT_GT(result->group_first_tokens_s, 0);
    EXPECT_GT(result->gflops, 0);
    EXPECT_GT(result->fma_peak_gflops, 0);
  }
  EXPECT_FALSE(run_prefill_bench(lane, *weights, {.prompt_tokens = 0}).ok());
}

}  // namespace
}  // namespace jigsaw
