// The executor with several threads: what computes at the same time, and who touches a sub-stage when.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <set>
#include <thread>

#include "core/lane.h"
#include "tests/support/fake_clock.h"
#include "workers/executor.h"

namespace jigsaw {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;

constexpr int kStepsMax = 100000;  // then a test gives up

// Where threads wait for each other; says no after long, so that a test fails instead of hanging.
class Meeting {
 public:
  explicit Meeting(int num_wanted) : num_wanted_(num_wanted) {}
  bool attend() {
    std::unique_lock lock(mutex_);
    ++num_here_;
    changed_.notify_all();
    return changed_.wait_for(lock, std::chrono::seconds(20), [&] { return num_here_ >= num_wanted_; });
  }

 private:
  int num_wanted_;
  std::mutex mutex_;
  std::condition_variable changed_;
  int num_here_ = 0;
};

class LaneStage : public SubStage {
 public:
  LaneStage(FakeClock& clock, int quanta) : quanta(quanta), clock_(clock) {}
  ~LaneStage() override { EXPECT_FALSE(inside.load()); }

  PipelineParts uses() const override { return parts; }
  Status poll() override {
    EXPECT_FALSE(inside.load());
    return ok_status();
  }
  bool runnable() const override { return quanta > 0; }
  Status run_quantum(Lane& lane) override {
    EXPECT_FALSE(inside.exchange(true));
    widths.push_back(lane.num_threads());
    widths_seen |= 1u << lane.num_threads();
    ++num_ran;
    threads.insert(std::this_thread::get_id());
    if (together != nullptr) {
      const int now = together->fetch_add(1) + 1;
      for (int max = together_max->load(); now > max && !together_max->compare_exchange_weak(max, now);) continue;
    }
    if (cores != nullptr) {
      EXPECT_LE(cores->fetch_add(lane.num_threads()) + lane.num_threads(), cores_max);
    }
    num_cpus = static_cast<int>(usable_cpus().size());
    if (meeting != nullptr) met = meeting->attend() && met;
    for (int i = 0; i < 100; ++i) std::this_thread::yield();
    clock_.advance(milliseconds(10));
    --quanta;
    if (together != nullptr) --*together;
    if (cores != nullptr) *cores -= lane.num_threads();
    inside = false;
    return fails ? Status(Error(ErrorCode::kInternal, "broken")) : ok_status();
  }
  bool done() const override {
    EXPECT_FALSE(inside.load());
    return quanta == 0;
  }
  bool cancel() override {
    EXPECT_FALSE(inside.load());
    quanta = 0;
    return true;
  }
  void fill(wire::NodeDone&) override {}
  std::string waiting_for() const override { return ""; }

  int quanta;
  PipelineParts parts = PipelineParts::kAll;
  bool fails = false;
  Meeting* meeting = nullptr;
  bool met = true;
  std::atomic<int>* together = nullptr;
  std::atomic<int>* together_max = nullptr;
  std::atomic<int>* cores = nullptr;
  int cores_max = 0;
  int num_cpus = 0;  // that the last quantum's thread was allowed
  std::vector<int> widths;
  std::set<std::thread::id> threads;
  std::atomic<bool> inside = false;
  // For who looks while a quantum may be under way.
  std::atomic<unsigned> widths_seen = 0;  // bit w: a lane of w threads
  std::atomic<int> num_ran = 0;

 private:
  FakeClock& clock_;
};

class ExecutorLanesTest : public testing::Test {
 protected:
  LaneStage* start(Executor& executor, std::uint64_t node, int pipeline, int quanta, double share = 1) {
    auto stage = std::make_unique<LaneStage>(clock, quanta);
    LaneStage* raw = stage.get();
    executor.start(node, pipeline, share, std::move(stage));
    return raw;
  }
  // Until all is done; the entries stay alive in `done`.
  void run(Executor& executor) {
    while (!executor.empty()) {
      ASSERT_TRUE(executor.step().ok());
      for (Executor::Entry& entry : executor.take_done()) done.push_back(std::move(entry));
    }
  }
  FakeClock clock;
  std::vector<Executor::Entry> done;
};

TEST_F(ExecutorLanesTest, TwoPipelinesComputeAtTheSameTime) {
  Executor executor(2, clock);
  Meeting meeting(2);
  LaneStage* a = start(executor, 1, 0, 1);
  LaneStage* b = start(executor, 2, 1, 1);
  a->meeting = b->meeting = &meeting;
  run(executor);
  EXPECT_TRUE(a->met && b->met);
  EXPECT_THAT(a->widths, ElementsAre(1));
  EXPECT_THAT(b->widths, ElementsAre(1));
}

TEST_F(ExecutorLanesTest, OneSubStageHasTheWholeWorkerOnTheCallersThread) {
  Executor executor(2, clock);
  LaneStage* a = start(executor, 1, 0, 3);
  run(executor);
  EXPECT_THAT(a->widths, ElementsAre(2, 2, 2));
  EXPECT_THAT(a->threads, ElementsAre(std::this_thread::get_id()));
}

TEST_F(ExecutorLanesTest, WidthsFollowTheShares) {
  Executor executor(4, clock);
  Meeting meeting(2);
  LaneStage* a = start(executor, 1, 0, 1, 3);
  LaneStage* b = start(executor, 2, 1, 1, 1);
  a->meeting = b->meeting = &meeting;
  run(executor);
  EXPECT_THAT(a->widths, ElementsAre(3));
  EXPECT_THAT(b->widths, ElementsAre(1));
}

TEST_F(ExecutorLanesTest, WhatIsLeftAloneWidensToTheWholeWorker) {
  Executor executor(2, clock);
  LaneStage* a = start(executor, 1, 0, kStepsMax);
  start(executor, 2, 1, 1);
  for (int i = 0; i < kStepsMax && (a->widths_seen & 1u << 2) == 0; ++i) ASSERT_TRUE(executor.step().ok());
  executor.cancel(0);
  EXPECT_EQ(a->widths.front(), 1);
  EXPECT_EQ(a->widths.back(), 2);
  run(executor);
}

TEST_F(ExecutorLanesTest, SubStagesOfOnePipelineTakeTurns) {
  Executor executor(2, clock);
  std::atomic<int> together = 0, together_max = 0;
  for (std::uint64_t node = 1; node <= 3; ++node) {
    LaneStage* stage = start(executor, node, 0, 20);
    stage->together = &together;
    stage->together_max = &together_max;
  }
  run(executor);
  EXPECT_EQ(together_max.load(), 1);
  EXPECT_EQ(done.size(), 3u);
}

TEST_F(ExecutorLanesTest, SubStagesOfOnePipelineThatShareNothingComputeAtTheSameTime) {
  Executor executor(2, clock);
  Meeting meeting(2);
  LaneStage* rollout = start(executor, 1, 0, 1);
  LaneStage* update = start(executor, 2, 0, 1);
  rollout->parts = PipelineParts::kRollout;
  update->parts = PipelineParts::kTraining;
  rollout->meeting = update->meeting = &meeting;
  run(executor);
  EXPECT_TRUE(rollout->met && update->met);
}

TEST_F(ExecutorLanesTest, WhatTouchesAllComesBetweenTwoThatShareNothing) {
  Executor executor(2, clock);
  start(executor, 1, 0, 1000)->parts = PipelineParts::kRollout;
  start(executor, 2, 0, 1000)->parts = PipelineParts::kTraining;
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(executor.step().ok());
  start(executor, 3, 0, 1);
  // How far a step comes is up to the system's threads; the others have a thousand quanta each.
  for (int i = 0; i < kStepsMax && done.empty(); ++i) {
    ASSERT_TRUE(executor.step().ok());
    done = executor.take_done();
  }
  ASSERT_EQ(done.size(), 1u);
  EXPECT_EQ(done[0].node, 3u);
}

TEST_F(ExecutorLanesTest, ThreeTakeTurnsOnTwoLanesAndNobodyStarves) {
  Executor executor(2, clock);
  std::vector<LaneStage*> stages;
  std::atomic<int> together = 0, together_max = 0;
  for (std::uint64_t node = 1; node <= 3; ++node) {
    stages.push_back(start(executor, node, static_cast<int>(node), kStepsMax));
    stages.back()->together = &together;
    stages.back()->together_max = &together_max;
  }
  // How far a step comes is up to the system's threads.
  const auto all_ran = [&] {
    return std::all_of(stages.begin(), stages.end(), [](const LaneStage* stage) { return stage->num_ran >= 5; });
  };
  for (int i = 0; i < kStepsMax && !all_ran(); ++i) ASSERT_TRUE(executor.step().ok());
  EXPECT_TRUE(all_ran());
  for (int pipeline = 1; pipeline <= 3; ++pipeline) executor.cancel(pipeline);
  EXPECT_LE(together_max.load(), 2);
  run(executor);
}

TEST_F(ExecutorLanesTest, SplitsChangeWithoutEverUsingMoreCoresThanThereAre) {
  constexpr int kThreads = 5;
  Executor executor(kThreads, clock);
  std::atomic<int> cores = 0;
  std::vector<LaneStage*> stages;
  for (std::uint64_t node = 1; node <= 2; ++node) {
    stages.push_back(start(executor, node, static_cast<int>(node), kStepsMax));
    stages.back()->cores = &cores;
    stages.back()->cores_max = kThreads;
  }
  constexpr unsigned kBoth = 1u << 1 | 1u << 4;
  const auto all_seen = [&] {
    return std::all_of(stages.begin(), stages.end(),
                       [](const LaneStage* stage) { return stage->widths_seen == kBoth; });
  };
  for (int i = 0; i < kStepsMax && !all_seen(); ++i) {
    executor.reshare(1, i / 30 % 2 == 0 ? 4 : 1);
    executor.reshare(2, i / 30 % 2 == 0 ? 1 : 4);
    ASSERT_TRUE(executor.step().ok());
  }
  EXPECT_TRUE(all_seen());
  for (int pipeline = 1; pipeline <= 2; ++pipeline) executor.cancel(pipeline);
  run(executor);
}

TEST_F(ExecutorLanesTest, EachLaneIsBoundToItsOwnCpus) {
  const std::vector<int> cpus = usable_cpus();
  if (cpus.size() < 2) GTEST_SKIP() << "one CPU cannot be divided";
  Executor executor(2, clock, {cpus[0], cpus[1]});
  Meeting meeting(2);
  LaneStage* a = start(executor, 1, 0, 1);
  LaneStage* b = start(executor, 2, 1, 1);
  a->meeting = b->meeting = &meeting;
  run(executor);
  EXPECT_EQ(a->num_cpus, 1);
  EXPECT_EQ(b->num_cpus, 1);
  EXPECT_EQ(usable_cpus(), cpus);
}

TEST_F(ExecutorLanesTest, CancelWaitsForTheQuantumUnderWay) {
  for (int round = 0; round < 50; ++round) {
    Executor executor(2, clock);
    LaneStage* a = start(executor, 1, 0, 1000);
    start(executor, 2, 1, 1000);
    ASSERT_TRUE(executor.step().ok());
    executor.cancel(0);
    EXPECT_EQ(a->quanta, 0);
    ASSERT_TRUE(executor.step().ok());
    const auto ended = executor.take_done();
    ASSERT_EQ(ended.size(), 1u);
    EXPECT_EQ(ended[0].node, 1u);
    EXPECT_TRUE(ended[0].cancelled);
  }  // the other one's quantum may be under way: the executor waits for it
}

TEST_F(ExecutorLanesTest, AQuantumsErrorComesOutOfStep) {
  Executor executor(2, clock);
  Meeting meeting(2);
  LaneStage* a = start(executor, 1, 0, 1);
  LaneStage* b = start(executor, 2, 1, 1);
  a->meeting = b->meeting = &meeting;
  b->fails = true;
  Result<bool> ran = executor.step();
  for (int i = 0; i < kStepsMax && ran.ok(); ++i) ran = executor.step();
  ASSERT_FALSE(ran.ok());
  EXPECT_EQ(ran.error().message(), "broken");
}

TEST_F(ExecutorLanesTest, BusyTimeIsCountedOnBothLanes) {
  Executor executor(2, clock);
  start(executor, 1, 0, 5);
  start(executor, 2, 1, 5);
  run(executor);
  ASSERT_EQ(done.size(), 2u);
  for (const Executor::Entry& entry : done) EXPECT_GE(entry.busy_s, 0.05 - 1e-9);
}

}  // namespace
}  // namespace jigsaw
