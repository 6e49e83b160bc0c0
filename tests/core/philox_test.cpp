#include "core/philox.h"

#include <gtest/gtest.h>

namespace jigsaw {
namespace {

// Known answers of Random123's own test vectors (kat_vectors, philox4x32 10).
TEST(PhiloxTest, GivesTheKnownAnswers) {
  EXPECT_EQ(philox(0, 0, 0), (PhiloxBlock{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox(~0ull, ~0ull, ~0ull), (PhiloxBlock{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox(0x299f31d0a4093822, 0x0370734413198a2e, 0x85a308d3243f6a88),
            (PhiloxBlock{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(PhiloxTest, UniformStaysBelowOneAndAveragesAHalf) {
  double sum = 0;
  for (std::uint64_t i = 0; i < 10000; ++i) {
    const double u = philox_uniform(7, 1, i);
    ASSERT_GE(u, 0.0);
    ASSERT_LT(u, 1.0);
    sum += u;
  }
  EXPECT_NEAR(sum / 10000, 0.5, 0.01);
}

TEST(PhiloxTest, KeysOfDifferentUsesDiffer) {
  EXPECT_NE(philox_key(1, 2, 3), philox_key(1, 3, 2));
  EXPECT_NE(philox_key(1, 2, 3), philox_key(2, 2, 3));
}

}  // namespace
}  // namespace jigsaw
