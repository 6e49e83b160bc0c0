#include "core/lane.h"

#include <gtest/gtest.h>

#include <atomic>
#include <barrier>
#include <thread>
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

TEST(LaneTest, AThreadBesideTheCallerIsBoundToItsCpu) {
  const std::vector<int> cpus = usable_cpus();
  if (cpus.size() < 2) GTEST_SKIP() << "needs two CPUs";
  for (const int cpu : {cpus.front(), cpus.back()}) {
    Lane lane(std::vector<int>{cpus.front(), cpu});
    const std::thread::id caller = std::this_thread::get_id();
    std::vector<int> seen;      // by the thread beside the caller
    std::barrier both_here(2);  // so that each part has a thread of its own
    lane.parallel_for(2, 1, [&](std::int64_t, std::int64_t) {
      if (std::this_thread::get_id() != caller) seen = usable_cpus();
      both_here.arrive_and_wait();
    });
    EXPECT_EQ(seen, std::vector<int>{cpu});
    EXPECT_EQ(usable_cpus(), cpus) << "the caller is left where it is";
  }
}

}  // namespace
}  // namespace jigsaw
