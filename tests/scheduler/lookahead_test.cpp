#include "scheduler/policies/lookahead.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "scheduler/policies/outlook.h"

namespace jigsaw {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr Clock::TimePoint kNow{};

PipelineSpec spec_of(const std::string& name) {
  PipelineSpec spec;
  spec.name = name;
  spec.steps = 4;
  spec.prompts_per_step = 2;
  return spec;
}

// Nodes of a worker: prefill, tail, reward; then the updates.
Forecast forecast_of(double prefill_s, double tail_s, double reward_s, double update_s, int num_workers) {
  Forecast forecast;
  for (int worker = 0; worker < num_workers; ++worker) {
    for (const double seconds : {prefill_s, tail_s, reward_s}) forecast.seconds.push_back(seconds);
  }
  for (int worker = 0; worker < num_workers; ++worker) forecast.seconds.push_back(update_s);
  for (const double seconds : forecast.seconds) forecast.samples.push_back({seconds});
  return forecast;
}

Plan plan_of(int num_pipelines, int num_workers, const Forecast& forecast) {
  std::vector<PipelineSpec> specs;
  for (int i = 0; i < num_pipelines; ++i) specs.push_back(spec_of(std::string(1, static_cast<char>('a' + i))));
  Plan plan(specs, std::vector<std::int64_t>(specs.size(), 1), num_workers);
  for (int i = 0; i < num_pipelines; ++i) plan.set_forecast(i, forecast);
  return plan;
}

TEST(OutlookTest, OnePipelineEndsAfterItsCriticalPath) {
  const Plan plan = plan_of(1, 2, forecast_of(1, 2, 0.5, 3, 2));
  const Capacity capacity{.num_workers = 2};
  const Outlook outlook(plan, capacity, kNow);
  EXPECT_NEAR(outlook.alone_s(0), 2 * 6.5, 1e-9);  // two steps
  EXPECT_NEAR(outlook.after({}, BasePolicy::kGreedy).end_s, 2 * 6.5, 1e-9);
}

TEST(OutlookTest, TimeSlicesDoubleAndExclusiveRunsQueue) {
  const Plan plan = plan_of(2, 1, forecast_of(0, 2, 0, 2, 1));
  const Capacity capacity{.num_workers = 1};
  const Outlook outlook(plan, capacity, kNow);
  const Prospect shared = outlook.after({}, BasePolicy::kGreedy);
  EXPECT_NEAR(shared.finish_s[0], 16, 1e-9);
  EXPECT_NEAR(shared.finish_s[1], 16, 1e-9);
  EXPECT_NEAR(outlook.after({}, BasePolicy::kExclusive).end_s, 16, 1e-9);
}

TEST(OutlookTest, WhatIsHeldStartsWhenSomethingEnds) {
  const Plan plan = plan_of(2, 1, forecast_of(0, 2, 5, 2, 1));
  const Capacity capacity{.num_workers = 1};
  const Outlook outlook(plan, capacity, kNow);
  const NodeRef a{0, 1, 0}, b{1, 1, 0};
  const Prospect prospect = outlook.after({{a, 1.0}, {b, std::nullopt}}, BasePolicy::kGreedy);
  EXPECT_FALSE(prospect.is_stuck);
  EXPECT_TRUE(outlook.after({{a, std::nullopt}, {b, std::nullopt}}, BasePolicy::kGreedy).is_stuck);
}

TEST(LookaheadTest, BeforeAnythingIsKnownItStartsAll) {
  Plan plan({spec_of("a"), spec_of("b")}, std::vector<std::int64_t>{1, 1}, 1);
  const Decision decision = LookaheadPolicy().choose(plan, {.num_workers = 1}, kNow);
  ASSERT_THAT(decision.start, SizeIs(2));
  EXPECT_THAT(decision.start[0].reason, HasSubstr("no step has ended yet"));
}

TEST(LookaheadTest, BeforeAnythingIsKnownTimeSlicesGoToWhoCameFirst) {
  const Plan plan = plan_of(2, 1, Forecast());
  const Capacity capacity{.num_workers = 1, .splits = {0.05, 0.5, 0.95}, .is_work_conserving = true};
  const Decision decision = LookaheadPolicy().choose(plan, capacity, kNow);
  ASSERT_THAT(decision.start, SizeIs(2));
  EXPECT_EQ(decision.start[0].node.pipeline, 0);
  EXPECT_NEAR(decision.start[0].share / decision.start[1].share, 19, 1e-6);
}

TEST(LookaheadTest, EveryChoiceTellsItsOptions) {
  const Plan plan = plan_of(2, 1, forecast_of(0, 1, 2, 1, 1));
  const Decision decision = LookaheadPolicy().choose(plan, {.num_workers = 1}, kNow);
  ASSERT_FALSE(decision.start.empty());
  EXPECT_THAT(decision.start[0].options, SizeIs(testing::Ge(2u)));
  for (const Option& option : decision.start[0].options) EXPECT_GT(option.finish_s, 0) << option.action;
  for (const WaitChoice& wait : decision.wait) EXPECT_THAT(wait.reason, HasSubstr("waits for"));
}

TEST(LookaheadTest, WhileOneComputesAndThenWaitsTheOtherComesSecond) {
  const Plan plan = plan_of(2, 1, forecast_of(0, 1, 2, 1, 1));
  Capacity capacity{.num_workers = 1};
  capacity.splits = {0.05, 0.5, 0.95};
  capacity.is_work_conserving = true;
  const Decision decision = LookaheadPolicy().choose(plan, capacity, kNow);
  ASSERT_THAT(decision.start, SizeIs(2));
  const double ratio = decision.start[0].share / decision.start[1].share;
  EXPECT_TRUE(ratio > 10 || ratio < 0.1) << ratio;
}

TEST(LookaheadTest, ADriftingPipelineRunsByItself) {
  Forecast drifting = forecast_of(0, 1, 2, 1, 1);
  drifting.drifted = true;
  Plan plan = plan_of(2, 1, forecast_of(0, 1, 2, 1, 1));
  plan.set_forecast(1, drifting);
  const Decision decision = LookaheadPolicy().choose(plan, {.num_workers = 1}, kNow);
  ASSERT_THAT(decision.start, SizeIs(1));
  ASSERT_THAT(decision.wait, SizeIs(1));
  EXPECT_THAT(decision.wait[0].reason, HasSubstr("waits for"));
}

TEST(LookaheadTest, NobodyStarves) {
  Plan plan = plan_of(2, 1, forecast_of(0, 5, 0, 1, 1));
  plan.start({0, 1, 0}, 1, kNow);
  plan.finish({0, 1, 0}, kNow);  // on to the tail
  // Pipeline b has been ready for longer than its whole window takes.
  const Decision decision = LookaheadPolicy().choose(plan, {.num_workers = 1}, kNow + std::chrono::seconds(1000));
  ASSERT_THAT(decision.start, SizeIs(1));
  EXPECT_EQ(decision.start[0].node.pipeline, 1);
}

TEST(LookaheadTest, WeightDecidesBetweenEquals) {
  std::vector<PipelineSpec> specs = {spec_of("a"), spec_of("b")};
  specs[1].weight = 20;
  Plan plan(specs, std::vector<std::int64_t>{1, 1}, 1);
  for (int i = 0; i < 2; ++i) plan.set_forecast(i, forecast_of(0, 2, 0, 2, 1));
  Capacity capacity{.num_workers = 1};
  capacity.is_work_conserving = true;
  capacity.splits = {0.05, 0.5, 0.95};
  const Decision decision = LookaheadPolicy().choose(plan, capacity, kNow);
  ASSERT_THAT(decision.start, SizeIs(2));
  EXPECT_GT(decision.start[1].share, decision.start[0].share);
}

// Before anything is known, whoever comes second gets the smallest split beside what runs.
TEST(LookaheadTest, WeightsStayOfOneOrderOnAWorkerThatIsNeverEmpty) {
  std::vector<PipelineSpec> specs = {spec_of("a"), spec_of("b")};
  for (PipelineSpec& spec : specs) spec.steps = 200;
  Plan plan(specs, std::vector<std::int64_t>{1, 1}, 1);
  Capacity capacity{.num_workers = 1};
  capacity.is_work_conserving = true;
  capacity.splits = {0.05, 0.5, 0.95};
  while (!plan.all_done()) {
    for (const DispatchChoice& choice : LookaheadPolicy().choose(plan, capacity, kNow).start) {
      EXPECT_GE(choice.share, 1e-6);
      EXPECT_LE(choice.share, 1e6);
      plan.start(choice.node, choice.share, kNow);
    }
    NodeRef ref = plan.running_on(1).front();  // that runs longest
    for (; plan.window(ref.pipeline).graph(ref.step).continues_after(ref.node); ++ref.node) plan.finish(ref, kNow);
    plan.finish(ref, kNow);
    if (plan.step_finished(ref.pipeline)) plan.advance(ref.pipeline, kNow);
  }
}

TEST(LookaheadTest, NothingToDecideIsNoDecision) {
  Plan plan = plan_of(1, 1, forecast_of(0, 2, 0, 2, 1));
  plan.stop(0);
  const Decision decision = LookaheadPolicy().choose(plan, {.num_workers = 1}, kNow);
  EXPECT_THAT(decision.start, IsEmpty());
  EXPECT_THAT(decision.wait, IsEmpty());
}

}  // namespace
}  // namespace jigsaw
