#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "scheduler/policy.h"

namespace jigsaw {
namespace {

using testing::HasSubstr;

PipelineSpec spec_of(double weight) {
  PipelineSpec spec;
  spec.name = "p";
  spec.steps = 2;
  spec.weight = weight;
  return spec;
}

TEST(PoliciesTest, GreedyStartsAllThatIsReadyByWeight) {
  const Plan plan({spec_of(1), spec_of(3)}, std::vector<std::int64_t>{1, 1}, 1);
  const auto choices = (*make_policy("greedy"))->choose(plan, {1}, {});
  ASSERT_EQ(choices.size(), 2u);
  EXPECT_EQ(choices[1].node, (NodeRef{1, 0}));
  EXPECT_EQ(choices[1].share, 3);
}

TEST(PoliciesTest, SerialLetsAStepEndBeforeAnotherPipelineBegins) {
  Plan plan({spec_of(1), spec_of(1)}, std::vector<std::int64_t>{1, 1}, 1);
  const auto policy = *make_policy("serial");
  for (const int expected : {0, 0, 1, 1}) {  // rollout and update of each
    const auto choices = policy->choose(plan, {1}, {});
    ASSERT_EQ(choices.size(), 1u);
    EXPECT_EQ(choices[0].node.pipeline, expected);
    plan.start(choices[0].node);
    EXPECT_TRUE(policy->choose(plan, {1}, {}).empty());
    plan.finish(choices[0].node);
    if (plan.step_finished(expected)) plan.advance(expected);
  }
}

TEST(PoliciesTest, AnUnknownNameListsTheKnownOnes) {
  const auto policy = make_policy("greedi");
  ASSERT_FALSE(policy.ok());
  EXPECT_THAT(policy.error().message(), HasSubstr("did you mean 'greedy'?"));
  EXPECT_THAT(policy.error().message(), HasSubstr("serial"));
}

}  // namespace
}  // namespace jigsaw
