#include "rollout/models/gguf_rope.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

namespace jigsaw {
namespace {

using ::testing::HasSubstr;

// llama.cpp's converter, in its fp32.
std::vector<float> divisors_of(double theta, int head_dim, float factor, float low, float high, float context) {
  std::vector<float> divisors;
  for (int i = 0; i < head_dim; i += 2) {
    const float frequency =
        1.0f / std::pow(static_cast<float>(theta), static_cast<float>(i) / static_cast<float>(head_dim));
    const float wavelength = 2 * std::numbers::pi_v<float> / frequency;
    const float smooth = (context / wavelength - low) / (high - low);
    if (wavelength < context / high) {
      divisors.push_back(1.0f);
    } else if (wavelength > context / low) {
      divisors.push_back(factor);
    } else {
      divisors.push_back(1.0f / ((1.0f - smooth) / factor + smooth));
    }
  }
  return divisors;
}

std::vector<float> divisors_of(const RopeConfig& rope, int head_dim) {
  return divisors_of(rope.theta, head_dim, static_cast<float>(rope.factor), static_cast<float>(rope.low_freq_factor),
                     static_cast<float>(rope.high_freq_factor), static_cast<float>(rope.original_max_positions));
}

TEST(GgufRopeTest, PublishedLlama3SettingsAreFoundExactly) {
  for (const auto& [factor, head_dim] : {std::pair(8.0, 128), std::pair(32.0, 64)}) {
    const RopeConfig base{.theta = 500000.0};
    const RopeConfig wanted{.kind = RopeConfig::Kind::kLlama3, .theta = 500000.0, .factor = factor};
    const auto found = llama3_rope_from_divisors(base, head_dim, divisors_of(wanted, head_dim));
    ASSERT_TRUE(found) << found.error().message();
    EXPECT_EQ(*found, wanted);
  }
}

TEST(GgufRopeTest, OtherSettingsAreFoundUpToTheirScale) {
  // With context 4096 and bounds 2 and 6 the same frequencies as with 8192 and 4 and 12.
  const auto found =
      llama3_rope_from_divisors({.theta = 500000.0}, 64, divisors_of(500000.0, 64, 5.0f, 2.0f, 6.0f, 4096.0f));
  ASSERT_TRUE(found) << found.error().message();
  EXPECT_EQ(found->factor, 5.0);
  EXPECT_EQ(found->original_max_positions, 8192);
  EXPECT_NEAR(found->low_freq_factor, 4.0, 1e-3);
  EXPECT_NEAR(found->high_freq_factor, 12.0, 1e-3);
}

TEST(GgufRopeTest, RefusesDivisorsOfAnotherScheme) {
  std::vector<float> divisors = divisors_of(500000.0, 64, 8.0f, 1.0f, 4.0f, 8192.0f);
  divisors[3] = 1.5f;
  EXPECT_THAT(llama3_rope_from_divisors({.theta = 500000.0}, 64, divisors).error().message(),
              HasSubstr("Llama 3 scheme"));
  for (const float value : {0.0f, -2.0f, NAN, INFINITY}) {
    EXPECT_FALSE(llama3_rope_from_divisors({.theta = 500000.0}, 8, std::vector<float>(4, value))) << value;
  }
  EXPECT_FALSE(llama3_rope_from_divisors({.theta = 500000.0}, 8, std::vector<float>(5, 2.0f)));
}

}  // namespace
}  // namespace jigsaw
