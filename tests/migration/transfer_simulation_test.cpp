// The transfer state machines in simulated clusters, thousands of them.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/migration/transfer_world.h"

namespace jigsaw {
namespace {

struct Totals {
  int num_moved = 0, num_reports = 0, num_attempts = 0, num_events = 0;
};

void run_world(const WorldOptions& options, Totals& totals) {
  TransferWorld world(options);
  const bool is_finished = world.run();
  ASSERT_EQ(world.violation(), "");
  ASSERT_TRUE(is_finished) << "seed " << options.seed << ": not all samples were finished in time";
  totals.num_moved += world.num_moved();
  totals.num_reports += world.num_reports();
  totals.num_attempts += world.num_attempts();
  totals.num_events = world.num_events();
}

TEST(TransferSimulationTest, APerfectNetworkMovesAndFinishesEachSampleOnce) {
  Totals totals;
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    run_world({.seed = seed, .delay_max_ms = 0}, totals);
    if (HasFatalFailure()) return;
  }
  EXPECT_EQ(totals.num_reports, 200 * 6);
  EXPECT_GT(totals.num_moved, 200 * 6);  // and back again
}

TEST(TransferSimulationTest, ABadNetworkLosesAndDoublesNothing) {
  Totals totals;
  constexpr int kSeeds = 5000;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    run_world({.seed = seed,
               .num_workers = 2 + static_cast<int>(seed % 3),
               .loss = 0.1 * static_cast<double>(seed % 5),
               .duplication = 0.1 * static_cast<double>(seed % 4),
               .cancels = seed % 2 == 0 ? 0.2 : 0},
              totals);
    if (HasFatalFailure()) return;
  }
  EXPECT_EQ(totals.num_reports, kSeeds * 6);  // before anything is sorted out by the controller
  EXPECT_GT(totals.num_moved, kSeeds);
}

TEST(TransferSimulationTest, CrashesLoseNothing) {
  Totals totals;
  constexpr int kSeeds = 5000;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    run_world({.seed = seed,
               .num_workers = 2 + static_cast<int>(seed % 3),
               .length_max = 200,
               .loss = seed % 2 == 0 ? 0.2 : 0,
               .duplication = seed % 3 == 0 ? 0.2 : 0,
               .cancels = 0.1,
               .num_random_crashes = 3,
               .stops = seed % 4 == 3},
              totals);
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(totals.num_attempts, 2 * kSeeds);
  EXPECT_GT(totals.num_moved, kSeeds);
}

// Either side, at every single event of a run.
class CrashAtEveryEventTest : public testing::TestWithParam<int> {};

TEST_P(CrashAtEveryEventTest, LosesNothing) {
  for (const bool stops : {false, true}) {
    for (std::uint64_t seed = 1; seed <= 2; ++seed) {
      const WorldOptions calm{.seed = seed, .num_samples = 3, .length_max = 30, .loss = 0.1, .duplication = 0.1};
      Totals totals;
      run_world(calm, totals);
      for (int event = 0; event < std::min(totals.num_events, 500); ++event) {
        WorldOptions options = calm;
        options.crash_at_event = event;
        options.crash_worker = GetParam();
        options.stops = stops;
        run_world(options, totals);
        if (HasFatalFailure()) return;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Workers, CrashAtEveryEventTest, testing::Values(0, 1));

TEST(TransferSimulationTest, TheSameSeedIsTheSameRun) {
  const WorldOptions options{.seed = 77, .loss = 0.3, .duplication = 0.3, .num_random_crashes = 2};
  TransferWorld first(options), second(options);
  EXPECT_TRUE(first.run() && second.run());
  EXPECT_EQ(first.num_events(), second.num_events());
  EXPECT_EQ(first.num_moved(), second.num_moved());
}

}  // namespace
}  // namespace jigsaw
