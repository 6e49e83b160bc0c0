// Sub-stages of hidden speeds, run by hand on a plan: what the table makes of it.
#include "scheduler/co_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "scheduler/prediction/work_scale.h"

namespace jigsaw {
namespace {

using Kind = SubStageKind;

Clock::TimePoint at(double seconds) {
  return Clock::TimePoint(
      std::chrono::duration_cast<Clock::TimePoint::duration>(std::chrono::duration<double>(seconds)));
}

PipelineSpec spec_of(const std::string& name, int prompts) {
  PipelineSpec spec;
  spec.name = name;
  spec.steps = 1'000'000;
  spec.prompts_per_step = prompts;
  return spec;
}

// Steps of two pipelines on one worker, a's tail beside b's update; both by themselves, too. Nodes of a step: prefill,
// tail, reward, update.
class Pair {
 public:
  explicit Pair(SlowdownTable table)
      : table_(std::move(table)),
        plan_({spec_of("a", 1), spec_of("b", 1)}, std::vector<std::int64_t>{1, 1}, 1),
        co_runs_(table_, 1) {}

  // Tail and update begin together, of so much work alone, and slow each other down by these factors.
  void step(double tail_s, double update_s, SlowdownTable::Factors factors, double share = 0.5) {
    const std::int64_t step = plan_.step(0);
    start({1, step, 0}, 1);
    for (const int node : {0, 1, 2}) finish({1, step, node}, 0);
    start({0, step, 0}, share);
    finish({0, step, 0}, 0);
    start({1, step, 3}, 1 - share);
    const double both_s = std::min(tail_s * factors.first, update_s * factors.second);
    now_s_ += both_s;
    const bool tail_first = tail_s * factors.first <= both_s;
    const double rest_s = tail_first ? update_s - both_s / factors.second : tail_s - both_s / factors.first;
    tail_first ? finish({0, step, 1}, tail_s) : finish({1, step, 3}, update_s);
    now_s_ += rest_s;
    tail_first ? finish({1, step, 3}, update_s) : finish({0, step, 1}, tail_s);
    finish({0, step, 2}, 0);
    start({0, step, 3}, 1);
    finish({0, step, 3}, 0);
    for (const int pipeline : {0, 1}) plan_.advance(pipeline, at(now_s_));
  }

  SlowdownTable::Factors learnt(double share = 0.5) const {
    return table_.factors(Kind::kDecodeTail, Kind::kUpdate, share);
  }

 private:
  void start(NodeRef ref, double share) {
    plan_.start(ref, share, at(now_s_));
    co_runs_.update(plan_, 1, at(now_s_));
  }
  void finish(NodeRef ref, double work_s) {
    const CoRun run = co_runs_.end(1, ref, at(now_s_));
    co_runs_.observe(plan_, ref, run, work_s);
    plan_.finish(ref, at(now_s_));
    co_runs_.update(plan_, 1, at(now_s_));
  }

  SlowdownTable table_;
  Plan plan_;
  CoRuns co_runs_;
  double now_s_ = 0;
};

SlowdownTable table_with(SlowdownTable::Factors factors) {
  SlowdownTable table;
  table.set(Kind::kDecodeTail, Kind::kUpdate, 0.5, factors);
  return table;
}

TEST(CoRunsTest, ATableThatIsRightStaysAsItIs) {
  Pair pair(table_with({1.4, 1.7}));
  for (int step = 0; step < 50; ++step) pair.step(3 + step % 4, 5 - step % 3, {1.4, 1.7});
  EXPECT_NEAR(pair.learnt().first, 1.4, 1e-6);
  EXPECT_NEAR(pair.learnt().second, 1.7, 1e-6);
}

TEST(CoRunsTest, BadFirstTablesRecoverWithoutOvershooting) {
  for (const double wrong : {0.34, 0.6, 1.5, 4.0}) {
    Pair pair(table_with({1.4 * wrong, 1.7 * wrong}));
    double before = pair.learnt().first;
    for (int step = 0; step < 60; ++step) {
      pair.step(4, 4, {1.4, 1.7});
      const double now = pair.learnt().first;
      EXPECT_LE(std::abs(now - 1.4), std::abs(before - 1.4) + 1e-6) << wrong << " step " << step;
      EXPECT_GE((now - 1.4) * (before - 1.4), -1e-6) << wrong << " step " << step;
      EXPECT_LE(std::abs(std::log(now / before)), 0.25) << wrong << " step " << step;
      before = now;
    }
    EXPECT_NEAR(pair.learnt().first, 1.4, 0.03) << wrong;
    EXPECT_NEAR(pair.learnt().second, 1.7, 0.05) << wrong;
  }
}

TEST(CoRunsTest, NothingKnownIsABadTableLikeAnyOther) {
  Pair pair{SlowdownTable()};
  for (int step = 0; step < 60; ++step) pair.step(4, 4, {1.2, 1.3}, 0.35);
  EXPECT_NEAR(pair.learnt(0.35).first, 1.2, 0.03);
  EXPECT_NEAR(pair.learnt(0.35).second, 1.3, 0.03);
}

TEST(CoRunsTest, WorkThatIsKnownToATenthOnlyGivesTheMean) {
  std::mt19937 random(3);
  std::uniform_real_distribution<double> noise(0.9, 1.1);
  Pair pair(table_with({3, 1}));
  double sum = 0, most = 0, least = 10;
  for (int step = 0; step < 300; ++step) {
    const double factor = 1.5 * noise(random);
    pair.step(4, 40, {factor, 1.2});
    if (step < 100) continue;
    sum += pair.learnt().first;
    most = std::max(most, pair.learnt().first);
    least = std::min(least, pair.learnt().first);
  }
  EXPECT_NEAR(sum / 200, 1.5, 0.03);
  EXPECT_LT(most - least, 0.2);
}

TEST(CoRunsTest, ANodeThatRanAlmostAloneSaysNothing) {
  Pair pair(table_with({1.4, 1.7}));
  for (int step = 0; step < 20; ++step) pair.step(0.1, 40, {1.4, 9});
  EXPECT_NEAR(pair.learnt().second, 1.7, 1e-6);
}

// A layer ends with its last worker. The tail on worker 1 holds up the update there; on worker 2 the update only waits.
TEST(CoRunsTest, AnUpdateThatWaitsForItsPeersIsNotTakenForASlowOne) {
  SlowdownTable table = table_with({1.4, 1.5});
  const SlowdownTable::Factors before = table.factors(Kind::kDecodeTail, Kind::kUpdate, 0.5);
  Plan plan({spec_of("a", 2), spec_of("b", 2)}, std::vector<std::int64_t>{1, 1}, 2);
  CoRuns co_runs(table, 2);
  double now_s = 0;
  const auto start = [&](NodeRef ref) {
    plan.start(ref, 0.5, at(now_s));
    co_runs.update(plan, plan.node(ref).worker, at(now_s));
  };
  const auto finish = [&](NodeRef ref, double work_s) {
    const int worker = plan.node(ref).worker;
    co_runs.observe(plan, ref, co_runs.end(worker, ref, at(now_s)), work_s);
    plan.finish(ref, at(now_s));
    co_runs.update(plan, worker, at(now_s));
  };
  for (const int first : {0, 3}) {
    start({1, 1, first});
    for (const int node : {0, 1, 2}) finish({1, 1, first + node}, 0);
  }
  for (const int first : {0, 3}) {
    start({0, 1, first});
    finish({0, 1, first}, 0);
  }
  start({1, 1, 6});
  start({1, 1, 7});
  now_s = 4 * 1.5;  // both updates take 4 s alone; on worker 2 the tail has ended long before
  now_s = 1.4;
  finish({0, 1, 4}, 1);
  now_s = 4 * 1.5;
  finish({1, 1, 6}, 4);
  finish({1, 1, 7}, 4);
  const SlowdownTable::Factors after = table.factors(Kind::kDecodeTail, Kind::kUpdate, 0.5);
  EXPECT_NEAR(after.first, before.first, 1e-6);
  EXPECT_NEAR(after.second, before.second, 1e-6);
}

TEST(WorkScaleTest, TheFirstObservationCountsAndLaterOnesConverge) {
  WorkScale scale;
  EXPECT_FALSE(scale.work_s(Kind::kUpdate, 100));
  scale.observe(Kind::kUpdate, 100, 2);
  EXPECT_DOUBLE_EQ(*scale.work_s(Kind::kUpdate, 50), 1);
  EXPECT_FALSE(scale.work_s(Kind::kDecodeTail, 1));
  for (int i = 0; i < 60; ++i) scale.observe(Kind::kUpdate, 100, 6);
  EXPECT_NEAR(*scale.work_s(Kind::kUpdate, 100), 6, 1e-3);
  scale.observe(Kind::kUpdate, 100, 1e9);
  EXPECT_LT(*scale.work_s(Kind::kUpdate, 100), 6 * 1.21);
}

}  // namespace
}  // namespace jigsaw
