#include "core/lane.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <barrier>
#include <chrono>
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

// Calls that follow each other at once, with pauses in which the helpers go to sleep, and from one thread or another.
TEST(LaneTest, ManyCallsInARowLoseNoPart) {
  Lane lane(3);
  std::int64_t sum = 0;
  for (int call = 0; call < 3000; ++call) {
    if (call % 500 == 499) std::this_thread::sleep_for(std::chrono::milliseconds(1));  // so that they do
    std::array<std::int64_t, 3> parts{};  // not atomic: each is one thread's, and the caller's afterwards
    const auto run = [&] {
      lane.parallel_for(3, 1, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) parts[static_cast<std::size_t>(i)] = call + i;
      });
    };
    if (call % 100 == 0) {
      std::thread(run).join();
    } else {
      run();
    }
    for (const std::int64_t part : parts) sum += part;
  }
  EXPECT_EQ(sum, 3 * (2999LL * 3000 / 2) + 3000 * 3);
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
