#include "scheduler/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace jigsaw {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr Clock::TimePoint kNow{};

PipelineSpec spec_of(std::int64_t steps) {
  PipelineSpec spec;
  spec.name = "p";
  spec.steps = steps;
  spec.prompts_per_step = 2;
  return spec;
}

// Names of nodes with their steps, as "prefill@1 s1".
std::vector<std::string> names(const Plan& plan, const std::set<NodeRef>& refs) {
  std::vector<std::string> names;
  for (const NodeRef ref : refs) names.push_back(to_string(plan.node(ref)) + " s" + std::to_string(ref.step));
  return names;
}

// Takes the first ready node of this kind to its end, chains included.
void run_to_end(Plan& plan, SubStageKind kind) {
  for (NodeRef ref : std::set<NodeRef>(plan.ready())) {
    if (plan.node(ref).kind != kind) continue;
    plan.start(ref, 1, kNow);
    while (true) {
      const bool continues = plan.window(ref.pipeline).graph(ref.step).continues_after(ref.node);
      plan.finish(ref, kNow);
      if (!continues) return;
      ++ref.node;
    }
  }
  FAIL() << "nothing of kind " << to_string(kind) << " is ready";
}

TEST(PlanTest, ABarrierOpensWhenAllBeforeItAreDone) {
  Plan plan({spec_of(2)}, std::vector<std::int64_t>{1}, 2);
  EXPECT_THAT(names(plan, plan.ready()), ElementsAre("prefill@1 s1", "prefill@2 s1"));
  run_to_end(plan, SubStageKind::kPrefill);
  EXPECT_THAT(names(plan, plan.ready()), ElementsAre("prefill@2 s1"));
  const NodeRef other = *plan.ready().begin();
  plan.start(other, 1, kNow);
  EXPECT_EQ(plan.waiting_for(0), "prefill@2");
  plan.finish(other, kNow);
  EXPECT_EQ(plan.waiting_for(0), "decode.tail@2");
  plan.finish({0, 1, other.node + 1}, kNow);
  plan.finish({0, 1, other.node + 2}, kNow);
  EXPECT_THAT(names(plan, plan.ready()), ElementsAre("update#0@1 s1", "update#0@2 s1"));
  EXPECT_FALSE(plan.kind_started(0, 1, SubStageKind::kUpdate));
}

TEST(PlanTest, AChainKeepsItsShareAndItsWorker) {
  Plan plan({spec_of(1)}, std::vector<std::int64_t>{1}, 1);
  const NodeRef first = *plan.ready().begin();
  plan.start(first, 0.25, kNow);
  plan.finish(first, kNow);
  ASSERT_EQ(plan.running_on(1).size(), 1u);
  EXPECT_EQ(plan.node(plan.running_on(1)[0]).kind, SubStageKind::kDecodeTail);
  EXPECT_EQ(plan.share(plan.running_on(1)[0]), 0.25);
}

TEST(PlanTest, WorkIsTimeTimesRate) {
  Plan plan({spec_of(1)}, std::vector<std::int64_t>{1}, 1);
  const NodeRef ref = *plan.ready().begin();
  const auto at = [](int s) { return kNow + std::chrono::seconds(s); };
  plan.start(ref, 1, at(10));
  plan.set_rate(ref, 0.5, at(12));
  EXPECT_DOUBLE_EQ(plan.work_done_s(ref, at(20)), 2 + 8 * 0.5);
}

TEST(PlanTest, WhatItsSamplesSayOfANodeCountsMoreThanTheStepsBefore) {
  Plan plan({spec_of(2)}, std::vector<std::int64_t>{1}, 1);
  const NodeRef ref = *plan.ready().begin();
  plan.set_forecast(0, {.seconds = {4.0}, .samples = {{3.0, 5.0}}});
  EXPECT_DOUBLE_EQ(plan.seconds_of(ref), 4);
  plan.start(ref, 1, kNow);
  EXPECT_DOUBLE_EQ(plan.remaining_s(ref, kNow + std::chrono::seconds(4)), 1) << "the longer one of the two";
  plan.set_expected(ref, 10);
  EXPECT_DOUBLE_EQ(plan.seconds_of(ref), 10);
  EXPECT_DOUBLE_EQ(plan.remaining_s(ref, kNow + std::chrono::seconds(4)), 6);
  EXPECT_DOUBLE_EQ(plan.remaining_s(ref, kNow + std::chrono::seconds(40)), 0.5) << "it is late";
}

TEST(PlanTest, AdvancesThroughTheStepsToTheEnd) {
  Plan plan({spec_of(2)}, std::vector<std::int64_t>{1}, 1);
  std::vector<std::int64_t> steps;
  while (!plan.all_done()) {
    steps.push_back(plan.step(0));
    run_to_end(plan, SubStageKind::kPrefill);
    run_to_end(plan, SubStageKind::kUpdate);
    if (!plan.step_finished(0)) run_to_end(plan, SubStageKind::kCheckpoint);
    plan.advance(0, kNow);
  }
  EXPECT_THAT(steps, ElementsAre(1, 2));
  EXPECT_THAT(plan.ready(), IsEmpty());
}

TEST(PlanTest, TheNextRolloutDoesNotWaitForACheckpoint) {
  PipelineSpec spec = spec_of(3);
  spec.checkpoint_every = 1;
  Plan plan({spec}, std::vector<std::int64_t>{1}, 1);
  run_to_end(plan, SubStageKind::kPrefill);
  run_to_end(plan, SubStageKind::kUpdate);
  EXPECT_THAT(names(plan, plan.ready()), ElementsAre("checkpoint@1 s1", "prefill@1 s2"));
  run_to_end(plan, SubStageKind::kPrefill);
  // But the update does: it changes the weights that are being written.
  EXPECT_THAT(names(plan, plan.ready()), ElementsAre("checkpoint@1 s1"));
  run_to_end(plan, SubStageKind::kCheckpoint);
  EXPECT_THAT(names(plan, plan.ready()), ElementsAre("update#0@1 s2"));
}

TEST(PlanTest, OneStepOffRunsARolloutBesideTheUpdateBeforeIt) {
  PipelineSpec spec = spec_of(4);
  spec.staleness = 1;
  Plan plan({spec}, std::vector<std::int64_t>{1}, 1);
  EXPECT_THAT(names(plan, plan.ready()), ElementsAre("sync@1 s1"));
  run_to_end(plan, SubStageKind::kSync);
  run_to_end(plan, SubStageKind::kPrefill);
  // The update would change the weights that step 2's rollout wants.
  EXPECT_THAT(names(plan, plan.ready()), ElementsAre("sync@1 s2"));
  run_to_end(plan, SubStageKind::kSync);
  EXPECT_THAT(names(plan, plan.ready()), ElementsAre("update#0@1 s1", "prefill@1 s2"));
  run_to_end(plan, SubStageKind::kPrefill);
  EXPECT_THAT(names(plan, plan.ready()), ElementsAre("update#0@1 s1"));
  run_to_end(plan, SubStageKind::kUpdate);
  plan.advance(0, kNow);
  EXPECT_THAT(names(plan, plan.ready()), ElementsAre("sync@1 s3"));
}

TEST(PlanTest, AsyncRunsRolloutsAheadOfASlowUpdate) {
  PipelineSpec spec = spec_of(9);
  spec.staleness = 3;
  Plan plan({spec}, std::vector<std::int64_t>{1}, 1);
  // The first weights are there for all of these, but rollouts stand in order.
  for (int i = 0; i < 3; ++i) run_to_end(plan, SubStageKind::kSync);
  EXPECT_THAT(names(plan, plan.ready()), ElementsAre("prefill@1 s1"));
  run_to_end(plan, SubStageKind::kPrefill);
  EXPECT_THAT(names(plan, plan.ready()), ElementsAre("prefill@1 s2", "sync@1 s4"));
  run_to_end(plan, SubStageKind::kSync);
  EXPECT_THAT(names(plan, plan.ready()), ElementsAre("update#0@1 s1", "prefill@1 s2"));
  for (int i = 0; i < 3; ++i) run_to_end(plan, SubStageKind::kPrefill);
  // Rollout 5 is that of the weights after step 1.
  EXPECT_THAT(names(plan, plan.ready()), ElementsAre("update#0@1 s1"));
  run_to_end(plan, SubStageKind::kUpdate);
  plan.advance(0, kNow);
  EXPECT_THAT(names(plan, plan.ready()), ElementsAre("sync@1 s5"));
  run_to_end(plan, SubStageKind::kSync);
  EXPECT_THAT(names(plan, plan.ready()), ElementsAre("update#0@1 s2", "prefill@1 s5"));
}

TEST(PlanTest, AStoppedPipelineOffersNothing) {
  Plan plan({spec_of(2), spec_of(2)}, std::vector<std::int64_t>{1, 3}, 1);
  EXPECT_TRUE(plan.done(1));  // resumed beyond its last step
  plan.start(*plan.ready().begin(), 1, kNow);
  plan.stop(0);
  EXPECT_TRUE(plan.all_done());
  EXPECT_THAT(plan.ready(), IsEmpty());
  EXPECT_THAT(plan.running_on(1), IsEmpty());
}

TEST(PlanDeathTest, StartingWhatIsNotReadyIsABug) {
  Plan plan({spec_of(1)}, std::vector<std::int64_t>{1}, 1);
  EXPECT_DEATH(plan.start({0, 1, 1}, 1, kNow), "kReady");
}

TEST(PlanTest, WorkersAreTouchedByWhatHappensThere) {
  Plan plan({spec_of(2)}, std::vector<std::int64_t>{1}, 3);
  plan.forget_touched();
  EXPECT_THAT(plan.touched(), IsEmpty());
  const NodeRef first = *plan.ready().begin();
  const int worker = plan.node(first).worker;
  EXPECT_THAT(plan.ready_on(worker), ElementsAre(first));
  plan.start(first, 1, kNow);
  EXPECT_THAT(plan.touched(), ElementsAre(worker));
  EXPECT_THAT(plan.ready_on(worker), IsEmpty());
  plan.forget_touched();
  plan.finish(first, kNow);  // goes over into the next of its chain
  EXPECT_THAT(plan.touched(), ElementsAre(worker));
  plan.forget_touched();
  // The last rollout releases updates on all workers.
  for (int i = 0; i < 2; ++i) {
    while (!plan.running().empty()) plan.finish(*plan.running().begin(), kNow);
    for (const NodeRef ref : std::set<NodeRef>(plan.ready())) {
      if (plan.node(ref).kind == SubStageKind::kPrefill) plan.start(ref, 1, kNow);
    }
  }
  EXPECT_THAT(plan.touched(), testing::UnorderedElementsAre(1, 2, 3));
}

TEST(PlanTest, WhatManyWaitForIsToldInAFewWords) {
  PipelineSpec spec = spec_of(1);
  spec.prompts_per_step = 64;
  Plan plan({spec}, std::vector<std::int64_t>{1}, 64);
  for (const NodeRef ref : std::set<NodeRef>(plan.ready())) plan.start(ref, 1, kNow);
  EXPECT_EQ(plan.waiting_for(0), "prefill@1, prefill@2, prefill@3, prefill@4 and 60 more");
}

}  // namespace
}  // namespace jigsaw
