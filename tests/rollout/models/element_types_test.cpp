#include "rollout/models/element_types.h"

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

namespace jigsaw {
namespace {

// By the definition of IEEE half precision.
double half_value(std::uint16_t bits) {
  const int exponent = bits >> 10 & 31, mantissa = bits & 1023;
  const double sign = bits >> 15 ? -1.0 : 1.0;
  if (exponent == 31) return mantissa == 0 ? sign * INFINITY : NAN;
  if (exponent == 0) return sign * std::ldexp(mantissa, -24);
  return sign * std::ldexp(1024 + mantissa, exponent - 25);
}

TEST(ElementTypesTest, EveryHalfIsWidenedExactly) {
  std::vector<std::uint16_t> halves(1 << 16);
  for (std::size_t i = 0; i < halves.size(); ++i) halves[i] = static_cast<std::uint16_t>(i);
  std::vector<float> values(halves.size());
  widen(ElementType::kF16, std::as_bytes(std::span(halves)), values);
  for (std::size_t i = 0; i < halves.size(); ++i) {
    const double wanted = half_value(halves[i]);
    if (std::isnan(wanted)) {
      ASSERT_TRUE(std::isnan(values[i])) << i;
    } else {
      ASSERT_EQ(std::bit_cast<std::uint32_t>(values[i]), std::bit_cast<std::uint32_t>(static_cast<float>(wanted))) << i;
    }
  }
}

TEST(ElementTypesTest, Bf16IsTheUpperHalfOfAFloatAtAnyAlignment) {
  const std::array<std::uint16_t, 4> stored = {0x3F80, 0xC049, 0x0001, 0xFF80};  // 1, -3.140625, smallest, -infinity
  std::vector<std::byte> bytes(1 + sizeof(stored));
  std::memcpy(bytes.data() + 1, stored.data(), sizeof(stored));
  std::array<float, 4> values{};
  widen(ElementType::kBF16, std::span(bytes).subspan(1), values);
  EXPECT_EQ(values[0], 1.0f);
  EXPECT_EQ(values[1], -3.140625f);
  EXPECT_EQ(std::bit_cast<std::uint32_t>(values[2]), 0x00010000u);
  EXPECT_EQ(values[3], -std::numeric_limits<float>::infinity());
}

// Two blocks: the second shows that blocks follow each other.
std::vector<float> widen_two_blocks(ElementType type, const std::vector<std::uint8_t>& block, std::uint16_t scale) {
  std::vector<std::uint8_t> bytes = block;
  bytes.insert(bytes.end(), block.begin(), block.end());
  std::memcpy(bytes.data() + block.size(), &scale, sizeof(scale));
  std::vector<float> values(64);
  EXPECT_EQ(stored_bytes(type, 64), bytes.size());
  widen(type, std::as_bytes(std::span(bytes)), values);
  return values;
}

TEST(ElementTypesTest, Q8IsScaleTimesByte) {
  std::vector<std::uint8_t> block = {0x00, 0x38};  // 0.5
  for (int i = 0; i < 32; ++i) block.push_back(static_cast<std::uint8_t>(i * 8 - 128));
  const std::vector<float> values = widen_two_blocks(ElementType::kQ8_0, block, 0xBC00);  // -1
  for (int i = 0; i < 32; ++i) {
    EXPECT_EQ(values[static_cast<std::size_t>(i)], 0.5f * static_cast<float>(i * 8 - 128));
    EXPECT_EQ(values[static_cast<std::size_t>(32 + i)], -static_cast<float>(i * 8 - 128));
  }
}

TEST(ElementTypesTest, Q4HoldsLowHalvesFirst) {
  std::vector<std::uint8_t> block = {0x00, 0x40};  // 2
  for (int i = 0; i < 16; ++i) block.push_back(static_cast<std::uint8_t>(i | (15 - i) << 4));
  const std::vector<float> values = widen_two_blocks(ElementType::kQ4_0, block, 0x3800);  // 0.5
  for (int i = 0; i < 16; ++i) {
    EXPECT_EQ(values[static_cast<std::size_t>(i)], 2.0f * static_cast<float>(i - 8));
    EXPECT_EQ(values[static_cast<std::size_t>(16 + i)], 2.0f * static_cast<float>(7 - i));
    EXPECT_EQ(values[static_cast<std::size_t>(32 + i)], 0.5f * static_cast<float>(i - 8));
  }
}

TEST(ElementTypesTest, Q4WithMinimumAddsIt) {
  std::vector<std::uint8_t> block = {0x00, 0x40, 0x00, 0xC2};  // 2, minimum -3
  for (int i = 0; i < 16; ++i) block.push_back(static_cast<std::uint8_t>(i | (15 - i) << 4));
  const std::vector<float> values = widen_two_blocks(ElementType::kQ4_1, block, 0x3800);
  for (int i = 0; i < 16; ++i) {
    EXPECT_EQ(values[static_cast<std::size_t>(i)], 2.0f * static_cast<float>(i) - 3.0f);
    EXPECT_EQ(values[static_cast<std::size_t>(16 + i)], 2.0f * static_cast<float>(15 - i) - 3.0f);
    EXPECT_EQ(values[static_cast<std::size_t>(48 + i)], 0.5f * static_cast<float>(15 - i) - 3.0f);
  }
}

TEST(ElementTypesTest, OtherTypesAreUnknown) {
  EXPECT_EQ(find_element_type("BF16"), ElementType::kBF16);
  EXPECT_EQ(find_element_type("F64"), std::nullopt);
  EXPECT_EQ(find_element_type("Q4_K"), std::nullopt);
}

}  // namespace
}  // namespace jigsaw
