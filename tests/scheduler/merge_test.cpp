// Long tails that merge: what the plan allows, what the look-ahead makes of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "scheduler/policies/lookahead.h"
#include "scheduler/policies/merge_candidates.h"
#include "scheduler/policies/outlook.h"

namespace jigsaw {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr Clock::TimePoint kNow{};

// Nodes: prefill, tail, reward of worker 1, of worker 2, ..; then the updates.
constexpr int kNodes = 3;
NodeRef tail(int pipeline, int worker) { return {pipeline, 1, (worker - 1) * kNodes + 1}; }

// Completions of 20 tokens. A pass of one sequence takes a second, and each other one `width_s` more.
Forecast forecast_of(int num_workers, double update_s, double width_s) {
  Forecast forecast;
  for (int worker = 0; worker < num_workers; ++worker) {
    for (const double seconds : {0.0, 20.0, 0.0}) forecast.seconds.push_back(seconds);
  }
  for (int worker = 0; worker < num_workers; ++worker) forecast.seconds.push_back(update_s);
  for (const double seconds : forecast.seconds) forecast.samples.push_back({seconds});
  forecast.tail.lengths = SurvivalCurve(std::vector<Completion>{{.tokens = 20}});
  forecast.tail.cost.decode = {{1, 1}, {101, 1 + 100 * width_s}};
  return forecast;
}

PipelineSpec spec_of(const std::string& name) {
  PipelineSpec spec;
  spec.name = name;
  spec.prompts_per_step = 4;
  return spec;
}

// Pipelines whose tails run on all workers, each with `count` sequences that have decoded 10 of 20 tokens.
Plan tails_of(int num_pipelines, int num_workers, const Forecast& forecast, int count = 1) {
  std::vector<PipelineSpec> specs;
  for (int i = 0; i < num_pipelines; ++i) {
    specs.push_back(spec_of(std::string(1, static_cast<char>('a' + i))));
  }
  Plan plan(specs, std::vector<std::int64_t>(specs.size(), 1), num_workers);
  for (int i = 0; i < num_pipelines; ++i) {
    for (int worker = 1; worker <= num_workers; ++worker) {
      const NodeRef prefill{i, 1, (worker - 1) * kNodes};
      plan.start(prefill, 1, kNow);
      plan.finish(prefill, kNow);
      plan.set_sequences(tail(i, worker), {.count = count, .tokens = 10}, kNow);
    }
    plan.set_forecast(i, forecast);
  }
  return plan;
}

Capacity merging(int num_workers) {
  Capacity capacity{.num_workers = num_workers};
  capacity.can_merge = true;
  capacity.merge_s = 0.5;
  return capacity;
}

TEST(PlanMergeTest, SequencesAreCountedOnceAndTheBarrierOpensWithTheLast) {
  Plan plan = tails_of(1, 2, forecast_of(2, 1, 0), 3);
  plan.set_sequences(tail(0, 1), {.count = 1, .tokens = 14}, kNow);
  EXPECT_TRUE(plan.can_merge(tail(0, 1), tail(0, 2)));
  plan.begin_merge(tail(0, 1), tail(0, 2));
  EXPECT_FALSE(plan.can_merge(tail(0, 1), tail(0, 2)));
  EXPECT_FALSE(plan.can_merge(tail(0, 2), tail(0, 1)));
  plan.finish(tail(0, 1), kNow);
  plan.finish({0, 1, 2}, kNow);  // its rewards
  EXPECT_TRUE(plan.running_on(1).empty());
  const auto merged = plan.sequences(tail(0, 2), kNow);
  ASSERT_TRUE(merged);
  EXPECT_EQ(merged->running.count, 4);
  EXPECT_DOUBLE_EQ(merged->running.tokens, (3 * 10 + 14) / 4.0);
  EXPECT_FALSE(plan.is_merging(tail(0, 2)));
  EXPECT_TRUE(plan.ready().empty());
  plan.finish(tail(0, 2), kNow);
  plan.finish({0, 1, 5}, kNow);
  EXPECT_THAT(plan.ready(), SizeIs(2));  // the updates
}

TEST(PlanMergeTest, SeveralMergeIntoOneButNoneOnItsWay) {
  Plan plan = tails_of(2, 3, forecast_of(3, 1, 0));
  plan.begin_merge(tail(0, 1), tail(0, 3));
  EXPECT_TRUE(plan.can_merge(tail(0, 2), tail(0, 3)));
  EXPECT_FALSE(plan.can_merge(tail(0, 2), tail(0, 1)));
  EXPECT_FALSE(plan.can_merge(tail(0, 3), tail(0, 2)));
  EXPECT_FALSE(plan.can_merge(tail(0, 2), tail(1, 3)));
  EXPECT_FALSE(plan.can_merge(tail(0, 2), tail(0, 2)));
  // Both targets end before anything arrives.
  plan.finish(tail(0, 3), kNow);
  EXPECT_FALSE(plan.is_merging(tail(0, 1)));
  plan.finish(tail(0, 1), kNow);
  EXPECT_FALSE(plan.can_merge(tail(0, 1), tail(0, 2)));
}

TEST(PlanMergeTest, HalfOfTheSequencesAreNews) {
  Plan plan = tails_of(1, 1, forecast_of(1, 1, 0), 8);
  EXPECT_FALSE(plan.set_sequences(tail(0, 1), {.count = 5, .tokens = 11}, kNow));
  EXPECT_TRUE(plan.set_sequences(tail(0, 1), {.count = 4, .tokens = 11}, kNow));
  EXPECT_FALSE(plan.set_sequences(tail(0, 1), {.count = 3, .tokens = 12}, kNow));
  EXPECT_TRUE(plan.set_sequences(tail(0, 1), {.count = 2, .tokens = 12}, kNow));
}

// Two tails of 10 s on each of two workers, in time slices: 20 s, then both updates of 1 s: 22 s. With one pipeline's
// on each worker: half a second for the move, 10 s, and the updates: 12.5 s.
TEST(OutlookMergeTest, TailsThatLeaveAWorkerEndThereAtOnce) {
  const Plan plan = tails_of(2, 2, forecast_of(2, 1, 0));
  const Capacity capacity = merging(2);
  const Outlook outlook(plan, capacity, kNow);
  EXPECT_NEAR(outlook.after({}, BasePolicy::kGreedy).end_s, 22, 1e-9);
  const Changes both{.merges = {{tail(0, 2), tail(0, 1)}, {tail(1, 1), tail(1, 2)}}};
  EXPECT_NEAR(outlook.after({}, BasePolicy::kGreedy, both).end_s, 12.5, 1e-9);
  // One alone: worker 2 is free of it after 10 s, worker 1 after 20.5; there a's update begins, and b's with it.
  const Changes one{.merges = {{tail(0, 2), tail(0, 1)}}};
  EXPECT_NEAR(outlook.after({}, BasePolicy::kGreedy, one).end_s, 22.5, 1e-9);
}

TEST(LookaheadMergeTest, MergesWhereTheFreedWorkersEndTheWindowSooner) {
  const Plan plan = tails_of(2, 2, forecast_of(2, 1, 0));
  const Decision decision = LookaheadPolicy().choose(plan, merging(2), kNow);
  ASSERT_THAT(decision.merge, SizeIs(2));
  EXPECT_NE(decision.merge[0].from.pipeline, decision.merge[1].from.pipeline);
  EXPECT_NE(plan.node(decision.merge[0].to).worker, plan.node(decision.merge[1].to).worker);
  EXPECT_THAT(decision.merge[0].reason, HasSubstr("decode.tail"));
  ASSERT_THAT(decision.merge[0].options, SizeIs(testing::Ge(3u)));
  EXPECT_THAT(decision.merge[0].options[0].action, HasSubstr("leave"));
}

// Whoever had no room for them will have none the next time.
TEST(LookaheadMergeTest, WhatWasRefusedIsNotMergedAgain) {
  Plan plan = tails_of(2, 2, forecast_of(2, 1, 0));
  const auto merges = [&] { return LookaheadPolicy().choose(plan, merging(2), kNow).merge; };
  const MergeChoice first = merges().front();
  plan.begin_merge(first.from, first.to);
  plan.give_up_merge(first.from);
  for (const MergeChoice& choice : merges()) EXPECT_NE(choice.from, first.from);
}

// A pass of two takes twice as long as one of one: what is merged takes as long as sharing did, and the move on top.
TEST(LookaheadMergeTest, DoesNotMergeWhereWideBatchesCostAsMuchAsTheySave) {
  const Plan plan = tails_of(2, 2, forecast_of(2, 1, 1));
  EXPECT_THAT(LookaheadPolicy().choose(plan, merging(2), kNow).merge, IsEmpty());
}

TEST(LookaheadMergeTest, DoesNotMergeWhenTheMoveCostsMoreThanItFrees) {
  const Plan plan = tails_of(2, 2, forecast_of(2, 1, 0));
  Capacity capacity = merging(2);
  capacity.merge_s = 11;
  EXPECT_THAT(LookaheadPolicy().choose(plan, capacity, kNow).merge, IsEmpty());
  capacity.merge_s = 0;
  capacity.move_token_s = 1.1;  // contexts of 10 tokens
  EXPECT_THAT(LookaheadPolicy().choose(plan, capacity, kNow).merge, IsEmpty());
}

TEST(LookaheadMergeTest, DoesNotMergeForNothing) {
  EXPECT_THAT(LookaheadPolicy().choose(tails_of(1, 2, forecast_of(2, 1, 0)), merging(2), kNow).merge, IsEmpty());
  const Plan pair = tails_of(2, 2, forecast_of(2, 1, 0));
  EXPECT_THAT(LookaheadPolicy().choose(pair, {.num_workers = 2}, kNow).merge, IsEmpty());  // workers cannot
  Forecast drifting = forecast_of(2, 1, 0);
  drifting.drifted = true;
  EXPECT_THAT(LookaheadPolicy().choose(tails_of(2, 2, drifting), merging(2), kNow).merge, IsEmpty());
}

TEST(MergeCandidatesTest, AreThoseForWhichTheTargetHasRoom) {
  const auto all = [](int) { return true; };
  EXPECT_FALSE(merge_candidates(tails_of(2, 2, forecast_of(2, 1, 0), 3), kNow, all).empty());
  // Eight are no tail (bins.tail_below).
  EXPECT_THAT(merge_candidates(tails_of(2, 2, forecast_of(2, 1, 0), 4), kNow, all), IsEmpty());
  PipelineSpec spec = spec_of("a");
  for (const auto& [kv_tokens, fits] : std::map<int, bool>{{40, true}, {39, false}}) {  // two of 20 tokens
    spec.kv_tokens = kv_tokens;
    Plan plan({spec, spec}, std::vector<std::int64_t>{1, 1}, 2);
    for (int i = 0; i < 2; ++i) {
      for (int worker = 1; worker <= 2; ++worker) {
        const NodeRef prefill{i, 1, (worker - 1) * kNodes};
        plan.start(prefill, 1, kNow);
        plan.finish(prefill, kNow);
        plan.set_sequences(tail(i, worker), {.count = 1, .tokens = 10}, kNow);
      }
      plan.set_forecast(i, forecast_of(2, 1, 0));
    }
    EXPECT_EQ(!merge_candidates(plan, kNow, all).empty(), fits) << kv_tokens;
  }
}

// Workers beyond those that the score counts follow the same pattern among themselves.
TEST(MergeCandidatesTest, OfManyWorkersHalfMergeIntoTheOtherHalf) {
  const Plan plan = tails_of(2, 4, forecast_of(4, 1, 0));
  const auto candidates = merge_candidates(plan, kNow, [](int worker) { return worker <= 2; });
  ASSERT_FALSE(candidates.empty());
  for (const MergeCandidate& candidate : candidates) {
    for (const auto& [from, to] : candidate.merges) {
      EXPECT_EQ(plan.node(from).worker <= 2, plan.node(to).worker <= 2) << candidate.action;
      EXPECT_TRUE(plan.can_merge(from, to));
    }
  }
}

}  // namespace
}  // namespace jigsaw
