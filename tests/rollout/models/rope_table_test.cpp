#include "rollout/models/rope_table.h"

#include <gtest/gtest.h>

#include <cmath>

namespace jigsaw {
namespace {

TEST(RopeTableTest, HoldsCosinesThenSinesOfEveryPosition) {
  const auto table = make_rope_table({.theta = 10000.0}, 4, 3);
  ASSERT_EQ(table.size(), 3u * 2 * 2);
  // Pairs turn by 1 and 10000^(-1/2) = 0.01 a position.
  const float expected[] = {1,           1,          0,          0,            // position 0
                            0.5403023f,  0.9999500f, 0.8414710f, 0.0099998f,   // 1
                            -0.4161468f, 0.9998000f, 0.9092974f, 0.0199987f};  // 2
  for (std::size_t i = 0; i < table.size(); ++i) EXPECT_NEAR(table[i], expected[i], 1e-7f) << i;
}

TEST(RopeTableTest, LinearScalingSlowsEveryPair) {
  const auto plain = rope_frequencies({.theta = 10000.0}, 8);
  const auto slowed = rope_frequencies({.kind = RopeConfig::Kind::kLinear, .theta = 10000.0, .factor = 4.0}, 8);
  for (std::size_t i = 0; i < plain.size(); ++i) EXPECT_EQ(slowed[i], plain[i] / 4.0f);
}

// The angle is the product of two floats, rounded to float.
TEST(RopeTableTest, AnglesAreRoundedAsThoseTheModelsWereTrainedWith) {
  const auto table = make_rope_table({.theta = 100000.0}, 64, 4000);
  const float frequency = rope_frequencies({.theta = 100000.0}, 64)[1];
  const float angle = 3999.0f * frequency;
  EXPECT_EQ(table[3999 * 64 + 1], static_cast<float>(std::cos(double{angle})));
  EXPECT_EQ(table[3999 * 64 + 33], static_cast<float>(std::sin(double{angle})));
  EXPECT_NE(table[3999 * 64 + 1], static_cast<float>(std::cos(3999.0 * std::pow(100000.0, -2.0 / 64))));
}

// Llama 3.2's own settings; the values are the inv_freq that transformers computes for them.
TEST(RopeTableTest, Llama3ScalingKeepsShortWavesAndBlendsTheMiddle) {
  const RopeConfig rope{.kind = RopeConfig::Kind::kLlama3,
                        .theta = 500000.0,
                        .factor = 32.0,
                        .low_freq_factor = 1.0,
                        .high_freq_factor = 4.0,
                        .original_max_positions = 8192};
  const auto frequencies = rope_frequencies(rope, 64);
  ASSERT_EQ(frequencies.size(), 32u);
  EXPECT_NEAR(frequencies[0] / 1, 1.0, 1e-6);
  EXPECT_NEAR(frequencies[9] / 0.0249554086, 1.0, 1e-6);
  EXPECT_NEAR(frequencies[14] / 0.00321144611, 1.0, 1e-6);
  EXPECT_NEAR(frequencies[15] / 0.00129054801, 1.0, 1e-6);
  EXPECT_NEAR(frequencies[16] / 0.000429556705, 1.0, 1e-6);
  EXPECT_NEAR(frequencies[17] / 9.70828623e-05, 1.0, 1e-6);
  EXPECT_NEAR(frequencies[18] / 1.94616387e-05, 1.0, 1e-6);
  EXPECT_NEAR(frequencies[20] / 8.57025589e-06, 1.0, 1e-6);
  EXPECT_NEAR(frequencies[31] / 9.41830649e-08, 1.0, 1e-6);
}

}  // namespace
}  // namespace jigsaw
