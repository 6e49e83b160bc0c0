#include "rollout/models/policy_weights.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "tests/rollout/models/model_file_testing.h"

namespace jigsaw {
namespace {

using testing::tiny_config;

ModelConfig wide_config() {
  ModelConfig config = tiny_config("llama", true);
  config.hidden_size = 128;
  config.vocab_size = 1000;
  config.num_layers = 8;
  return config;
}

struct Moments {
  double mean, deviation, fourth;
};
Moments moments(const PolicyWeights& weights, int index) {
  const Parameter& parameter = weights.layout().parameter(index);
  const auto count = static_cast<std::size_t>(parameter.rows * parameter.cols);
  std::vector<float> values(count);
  unpack_rows(parameter, {"", 0, parameter.rows}, weights.parameter(index), values);
  double sum = 0, square = 0, fourth = 0;
  for (const float value : values) sum += value;
  for (const float value : values) square += std::pow(value - sum / count, 2), fourth += std::pow(value, 4);
  return {sum / count, std::sqrt(square / count), fourth / count};
}

TEST(PolicyWeightsTest, HashIsXxh3OfAllFloats) {
  ModelConfig config = tiny_config("llama", true);
  config.hidden_size = 2;
  config.intermediate_size = 1;
  config.num_layers = 1;
  config.num_heads = 1;
  config.num_kv_heads = 1;
  config.head_dim = 2;
  config.vocab_size = 3;
  PolicyWeights weights(config);
  // 16x2 embedding, norm, 16x2 qkv, 16x2 out, norm, 16x2 gate and up, 16x1 down, norm
  ASSERT_EQ(weights.floats().size(), 192u);
  for (std::size_t i = 0; i < 192; ++i) weights.mutable_floats()[i] = 0.5f * static_cast<float>(i);
  EXPECT_EQ(
      weights.hash(),
      "bffaa7b2eb6fc3ff7f28474643678933");  // Python: xxhash.xxh3_128(numpy.arange(192, dtype='f4') * 0.5).hexdigest()
  weights.mutable_floats()[191] = 0.0f;
  EXPECT_NE(weights.hash(), "bffaa7b2eb6fc3ff7f28474643678933");
}

TEST(PolicyWeightsTest, BuffersAreAlignedAndZero) {
  for (const std::size_t size : {std::size_t{1}, std::size_t{1000}, std::size_t{3} << 20}) {
    const AlignedFloats floats(size);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(floats.data()) % 64, 0u);
    EXPECT_EQ(std::count(floats.span().begin(), floats.span().end(), 0.0f), static_cast<std::ptrdiff_t>(size));
  }
  EXPECT_EQ(AlignedFloats(0).size(), 0u);
}

TEST(PolicyWeightsTest, InitialMatricesAreNormalWithTheRightDeviation) {
  PolicyWeights weights(wide_config());
  initialize_weights(weights, 5);
  const ParameterLayout& layout = weights.layout();
  const Moments embedding = moments(weights, layout.embedding());  // 128000 values
  EXPECT_NEAR(embedding.mean, 0.0, 3 * 0.02 / std::sqrt(128000.0));
  EXPECT_NEAR(embedding.deviation, 0.02, 0.0002);
  EXPECT_NEAR(embedding.fourth / std::pow(embedding.deviation, 4), 3.0, 0.08);  // a normal distribution's kurtosis
  for (const int index : {layout.layer(3).attention_out, layout.layer(7).mlp_down}) {
    EXPECT_NEAR(moments(weights, index).deviation, 0.02 / std::sqrt(2.0 * 8), 0.0003);
  }
  EXPECT_NEAR(moments(weights, layout.layer(0).qkv).deviation, 0.02, 0.0005);
}

TEST(PolicyWeightsTest, InitialNormsAreOneBiasesAndPaddingZero) {
  PolicyWeights weights(tiny_config("qwen2", false));
  std::fill(weights.mutable_floats().begin(), weights.mutable_floats().end(), 0.0f);
  initialize_weights(weights, 5);
  const ParameterLayout& layout = weights.layout();
  const float* norm = weights.parameter(layout.final_norm());
  EXPECT_EQ(std::count(norm, norm + 20, 1.0f), 20);
  EXPECT_EQ(std::count(norm + 20, norm + 32, 0.0f), 12);
  const Parameter& bias = layout.parameter(layout.layer(0).qkv_bias);
  const float* values = weights.parameter(layout.layer(0).qkv_bias);
  EXPECT_EQ(std::count(values, values + bias.size, 0.0f), static_cast<std::ptrdiff_t>(bias.size));
  const Parameter& embedding = layout.parameter(layout.embedding());
  const float* panels = weights.parameter(layout.embedding());
  EXPECT_EQ(std::count(panels, panels + embedding.size, 0.0f), 13 * 20);  // the rows 51..63
}

TEST(PolicyWeightsTest, InitialWeightsAreEqualEverywhere) {
  PolicyWeights weights(tiny_config("qwen3", false)), again(tiny_config("qwen3", false));
  initialize_weights(weights, 5);
  // Bits, whatever compiler and processor: a run from scratch is compared between machines by its weights hash.
  EXPECT_EQ(weights.hash(), "3b71e56647532a981a0155495674e306");
  initialize_weights(again, 6);
  EXPECT_NE(again.hash(), weights.hash());
  initialize_weights(again, 5);
  EXPECT_EQ(again.hash(), weights.hash());
}

}  // namespace
}  // namespace jigsaw
