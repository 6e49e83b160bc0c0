#include "graph/chunk_pairs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace jigsaw {
namespace {

using testing::ElementsAre;

TEST(ChunkPairsTest, SamplesBeyondTheLimitAreCutIntoChunksOfAtMostThat) {
  EXPECT_EQ(num_chunk_pairs(1 << 20, 0), 0) << "off";
  EXPECT_EQ(num_chunk_pairs(100, 100), 0);
  EXPECT_EQ(num_chunk_pairs(101, 100), 1);
  for (int num_tokens = 17; num_tokens < 400; ++num_tokens) {
    const int num_pairs = num_chunk_pairs(num_tokens, 16);
    ASSERT_GE(num_pairs, 1);
    const std::vector<int> begins = chunk_begins(num_tokens, num_pairs);
    ASSERT_EQ(begins.size(), 2u * static_cast<unsigned>(num_pairs) + 1);
    EXPECT_EQ(begins.front(), 0);
    EXPECT_EQ(begins.back(), num_tokens - 1);
    for (std::size_t i = 0; i + 1 < begins.size(); ++i) {
      const int rows = begins[i + 1] - begins[i];
      ASSERT_GE(rows, 1);
      if (num_pairs < kChunkPairsMax) {
        ASSERT_LE(rows, 16);
      }
    }
  }
}

TEST(ChunkPairsTest, OfManyLongSamplesTheLongestAreCut) {
  const std::vector<int> lengths = {10, 90, 40, 0, 70, 70, 300, 70, 12};
  EXPECT_THAT(chunk_pairs(lengths, 32), ElementsAre(0, 2, 0, 0, 2, 2, 5, 0, 0));
  EXPECT_THAT(chunk_pairs(lengths, 80), ElementsAre(0, 1, 0, 0, 0, 0, 2, 0, 0));
  EXPECT_THAT(chunk_pairs(lengths, 0), testing::Each(0));
}

}  // namespace
}  // namespace jigsaw
