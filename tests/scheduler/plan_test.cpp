#include "scheduler/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace jigsaw {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

PipelineSpec spec_of(std::int64_t steps) {
  PipelineSpec spec;
  spec.name = "p";
  spec.steps = steps;
  spec.prompts_per_step = 2;
  return spec;
}

TEST(PlanTest, ABarrierOpensWhenAllBeforeItAreDone) {
  Plan plan({spec_of(2)}, std::vector<std::int64_t>{1}, 2);
  EXPECT_THAT(plan.ready(), ElementsAre(NodeRef{0, 0}, NodeRef{0, 1}));
  plan.start({0, 0});
  plan.start({0, 1});
  EXPECT_EQ(plan.waiting_for(0), "rollout@1, rollout@2");
  plan.finish({0, 0});
  EXPECT_THAT(plan.ready(), IsEmpty());
  plan.finish({0, 1});
  EXPECT_THAT(plan.ready(), ElementsAre(NodeRef{0, 2}, NodeRef{0, 3}));
  EXPECT_FALSE(plan.kind_started(0, SubStageKind::kUpdate));
}

TEST(PlanTest, AdvancesThroughTheStepsToTheEnd) {
  Plan plan({spec_of(2)}, std::vector<std::int64_t>{1}, 1);
  std::vector<std::int64_t> steps;
  while (!plan.all_done()) {
    steps.push_back(plan.step(0));
    while (!plan.step_finished(0)) {
      for (const NodeRef ref : plan.ready()) {
        plan.start(ref);
        plan.finish(ref);
      }
    }
    plan.advance(0);
  }
  EXPECT_THAT(steps, ElementsAre(1, 2));
  EXPECT_THAT(plan.ready(), IsEmpty());
}

TEST(PlanTest, AStoppedPipelineOffersNothing) {
  Plan plan({spec_of(2), spec_of(2)}, std::vector<std::int64_t>{1, 3}, 1);
  EXPECT_TRUE(plan.done(1));  // resumed beyond its last step
  plan.stop(0);
  EXPECT_TRUE(plan.all_done());
  EXPECT_THAT(plan.ready(), IsEmpty());
}

TEST(PlanDeathTest, StartingWhatIsNotReadyIsABug) {
  Plan plan({spec_of(1)}, std::vector<std::int64_t>{1}, 1);
  EXPECT_DEATH(plan.start({0, 1}), "kReady");
}

}  // namespace
}  // namespace jigsaw
