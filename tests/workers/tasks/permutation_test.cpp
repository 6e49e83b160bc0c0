#include "workers/tasks/permutation.h"

#include <gtest/gtest.h>

#include <map>
#include <vector>

#include "workers/tasks/draws.h"

namespace jigsaw {
namespace {

TEST(PermutationTest, EveryPlaceIsHitOnceForAnySize) {
  for (std::int64_t size = 1; size <= 300; ++size) {
    for (std::uint64_t key = 0; key < 4; ++key) {
      std::vector<bool> hit(static_cast<std::size_t>(size), false);
      for (std::int64_t i = 0; i < size; ++i) {
        const std::int64_t place = permuted(key, i, size);
        ASSERT_GE(place, 0);
        ASSERT_LT(place, size);
        ASSERT_FALSE(hit[static_cast<std::size_t>(place)]) << "size " << size << " key " << key;
        hit[static_cast<std::size_t>(place)] = true;
      }
    }
  }
}

TEST(PermutationTest, AllOrdersOfFewItemsAreAboutAsLikely) {
  constexpr int kKeys = 24000;
  std::map<std::vector<std::int64_t>, int> seen;
  for (std::uint64_t key = 0; key < kKeys; ++key) {
    std::vector<std::int64_t> order;
    for (std::int64_t i = 0; i < 4; ++i) order.push_back(permuted(key, i, 4));
    ++seen[order];
  }
  ASSERT_EQ(seen.size(), 24u);
  double chi2 = 0;
  for (const auto& [order, count] : seen) chi2 += (count - 1000.0) * (count - 1000.0) / 1000.0;
  EXPECT_LT(chi2, 49.7);  // 0.1 % point at 23 degrees of freedom
}

TEST(PermutationTest, PlacesOfALargerSetAreUniform) {
  constexpr int kKeys = 5000, kSize = 50;
  for (const std::int64_t position : {0, 1, 24, 49}) {
    std::vector<int> seen(kSize, 0);
    for (std::uint64_t key = 0; key < kKeys; ++key) ++seen[static_cast<std::size_t>(permuted(key, position, kSize))];
    double chi2 = 0;
    for (const int count : seen) chi2 += (count - 100.0) * (count - 100.0) / 100.0;
    EXPECT_LT(chi2, 85.4) << position;  // 0.1 % point at 49 degrees of freedom
  }
}

TEST(DrawsTest, BetweenCoversItsRangeEvenlyAndRepeats) {
  std::vector<int> seen(7, 0);
  Draws draws(1, 2), again(1, 2);
  for (int i = 0; i < 7000; ++i) {
    const std::int64_t drawn = draws.between(-3, 3);
    ASSERT_EQ(drawn, again.between(-3, 3));
    ++seen.at(static_cast<std::size_t>(drawn + 3));
  }
  double chi2 = 0;
  for (const int count : seen) chi2 += (count - 1000.0) * (count - 1000.0) / 1000.0;
  EXPECT_LT(chi2, 22.5);  // 0.1 % point at 6 degrees of freedom
  EXPECT_EQ(draws.between(5, 5), 5);
  draws.between(std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max());
}

}  // namespace
}  // namespace jigsaw
