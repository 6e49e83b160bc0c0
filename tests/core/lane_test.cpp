#include "core/lane.h"

#include <gtest/gtest.h>

#include <atomic>
#include <vector>

namespace jigsaw {
namespace {

TEST(LaneTest, EveryIndexIsCoveredOnce) {
  for (const int threads : {1, 2, 3}) {
    Lane lane(threads);
    for (const std::int64_t count : {0, 1, 2, 7, 1000}) {
      std::vector<std::atomic<int>> hits(static_cast<std::size_t>(count));
      lane.parallel_for(count, 1, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) ++hits[static_cast<std::size_t>(i)];
      });
      for (const auto& hit : hits) ASSERT_EQ(hit.load(), 1);
    }
  }
}

TEST(LaneTest, SmallWorkStaysInOnePart) {
  Lane lane(4);
  std::atomic<int> parts{0};
  lane.parallel_for(10, 16, [&](std::int64_t, std::int64_t) { ++parts; });
  EXPECT_EQ(parts.load(), 1);
}

}  // namespace
}  // namespace jigsaw
