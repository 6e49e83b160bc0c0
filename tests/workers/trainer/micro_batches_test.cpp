#include "workers/trainer/micro_batches.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "core/philox.h"

namespace jigsaw {
namespace {

using testing::ElementsAre;

// Each with a prompt of one token.
std::vector<TrainingSample> samples_of(const std::vector<int>& lengths) {
  std::vector<TrainingSample> samples;
  for (const int length : lengths) {
    TrainingSample sample;
    sample.prompt_length = 1;
    sample.tokens.assign(static_cast<std::size_t>(length), 0);
    samples.push_back(sample);
  }
  return samples;
}

std::vector<std::vector<std::size_t>> packs_of(const std::vector<int>& lengths, int tokens_max) {
  std::vector<std::vector<std::size_t>> packs;
  for (const MicroBatch& pack : pack_micro_batches(samples_of(lengths), tokens_max)) packs.push_back(pack.samples);
  return packs;
}

TEST(MicroBatchesTest, FillsInOrderUpToTheBound) {
  EXPECT_THAT(packs_of({4, 6, 2, 8, 2}, 10), ElementsAre(ElementsAre(0, 1), ElementsAre(2, 3), ElementsAre(4)));
}

TEST(MicroBatchesTest, ALongerSampleStandsAlone) {
  EXPECT_THAT(packs_of({3, 25, 3, 3}, 10), ElementsAre(ElementsAre(0), ElementsAre(1), ElementsAre(2, 3)));
}

TEST(MicroBatchesTest, EmptyCompletionsAreLeftOut) {
  EXPECT_THAT(packs_of({1, 5, 1, 4}, 10), ElementsAre(ElementsAre(1, 3)));
  EXPECT_THAT(packs_of({1, 1}, 10), ElementsAre());
  EXPECT_THAT(packs_of({}, 10), ElementsAre());
}

TEST(MicroBatchesTest, AnyBatchIsCutInOrderWithinTheBound) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    std::vector<int> lengths;
    for (std::uint64_t i = 0; i < seed % 17; ++i) lengths.push_back(2 + static_cast<int>(philox(seed, 0, i)[0] % 30));
    const int tokens_max =
        seed % 20 == 0 ? std::numeric_limits<int>::max() : 1 + static_cast<int>(philox(seed, 1, 0)[0] % 50);
    std::size_t next = 0;
    for (const MicroBatch& pack : pack_micro_batches(samples_of(lengths), tokens_max)) {
      int num_tokens = 0;
      for (const std::size_t i : pack.samples) {
        EXPECT_EQ(i, next++);
        num_tokens += lengths[i];
      }
      EXPECT_EQ(pack.num_tokens, num_tokens);
      EXPECT_TRUE(num_tokens <= tokens_max || pack.samples.size() == 1);
      // No pack is cut without need.
      if (next < lengths.size()) {
        EXPECT_GT(std::int64_t{num_tokens} + lengths[next], tokens_max);
      }
    }
    EXPECT_EQ(next, lengths.size());
  }
}

}  // namespace
}  // namespace jigsaw
