// A decoded token takes no memory from the heap once everything has been as large as it gets. A program of its own,
// since it counts what operator new is asked for.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <vector>

#include "tests/rollout/models/model_testing.h"

namespace {
std::atomic<std::int64_t> num_allocations{0};

void* allocate(std::size_t size, std::size_t alignment) {
  ++num_allocations;
  void* memory = std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
}  // namespace

// Not inlined: gcc would see new and free() meet, and warn of a mismatch.
#define NOT_INLINED __attribute__((noinline))
NOT_INLINED void* operator new(std::size_t size) { return allocate(size, alignof(std::max_align_t)); }
NOT_INLINED void* operator new(std::size_t size, std::align_val_t alignment) {
  return allocate(size, static_cast<std::size_t>(alignment));
}
NOT_INLINED void operator delete(void* memory) noexcept { std::free(memory); }
NOT_INLINED void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
NOT_INLINED void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
NOT_INLINED void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

namespace jigsaw {
namespace {

class DecodeAllocationsTest : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Families, DecodeAllocationsTest, ::testing::ValuesIn(testing::small_model_names()),
                         [](const auto& info) { return info.param; });

TEST_P(DecodeAllocationsTest, ATokenTakesNoMemory) {
  constexpr int kBatch = 3, kPositions = 64;
  const auto weights = testing::small_model(GetParam());
  Lane lane(2);
  for (const WeightFormat format : {WeightFormat::kFp32, WeightFormat::kBf16}) {
    weights->set_format(format, lane);
    Transformer transformer(*weights, kPositions);
    std::vector<testing::KvBlocks> blocks;
    for (int i = 0; i < kBatch; ++i) blocks.emplace_back(transformer, kPositions);
    const std::vector<std::int32_t> tokens = testing::random_tokens(kBatch, weights->config().vocab_size, 1);
    const std::vector<std::int32_t> logit_rows = {0, 1, 2};
    std::vector<SequenceRows> rows(kBatch);
    const auto decode = [&](int position) {
      for (std::size_t i = 0; i < kBatch; ++i) {
        rows[i] = {.num_rows = 1, .position_begin = position, .blocks = blocks[i].blocks()};
      }
      transformer.forward(lane, {.tokens = tokens, .sequences = rows, .logit_rows = logit_rows});
    };
    // Which thread takes which part is chance, and each has scratch of its own: some rounds until both have had all.
    for (int round = 0; round < 20; ++round) {
      for (int position = 0; position < kPositions; ++position) decode(position);
    }
    // A helping thread that has gone to sleep is called by a task, which takes memory, but not for each token.
    std::int64_t least = kPositions;
    for (int round = 0; round < 5 && least > 0; ++round) {
      const std::int64_t before = num_allocations;
      for (int position = 0; position < kPositions; ++position) decode(position);
      least = std::min<std::int64_t>(least, num_allocations - before);
    }
    EXPECT_EQ(least, 0) << to_string(format);
  }
}

TEST(CountingTest, AllocationsAreCounted) {
  const std::int64_t before = num_allocations;
  const auto value = std::make_unique<std::vector<int>>(100);
  EXPECT_EQ(num_allocations - before, 2);
}

}  // namespace
}  // namespace jigsaw
