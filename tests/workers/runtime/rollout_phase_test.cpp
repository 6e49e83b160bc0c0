#include "workers/stages/rollout_phase.h"

#include <gtest/gtest.h>

namespace jigsaw {
namespace {

constexpr TokenBins kBins{.tail_below = 8, .wide_from = 64};
using Kind = SubStageKind;

std::optional<RolloutPhase::Place> at(Kind kind, int turn = 0) { return RolloutPhase::Place{kind, turn}; }

TEST(RolloutPhaseTest, GoesAlongTheChainAsPassesBecomeNarrower) {
  RolloutPhase phase(kBins, 40, 1);
  EXPECT_EQ(phase.after_pass(100, 0), std::nullopt);  // wide
  EXPECT_EQ(phase.after_pass(40, 3), std::nullopt);   // some still wait
  EXPECT_EQ(phase.after_pass(63, 0), at(Kind::kDecodeBulk));
  EXPECT_EQ(phase.after_pass(8, 0), std::nullopt);
  EXPECT_EQ(phase.after_pass(7, 0), at(Kind::kDecodeTail));
  EXPECT_EQ(phase.wait_for_rewards(), at(Kind::kReward));
  EXPECT_EQ(phase.wait_for_rewards(), std::nullopt);
}

TEST(RolloutPhaseTest, NeverGoesBack) {
  RolloutPhase phase(kBins, 100, 1);
  EXPECT_EQ(phase.after_pass(20, 0), at(Kind::kDecodeBulk));
  EXPECT_EQ(phase.after_pass(200, 5), std::nullopt);
  EXPECT_EQ(phase.after_pass(3, 5), at(Kind::kDecodeTail));
  EXPECT_EQ(phase.after_pass(200, 5), std::nullopt);
  EXPECT_EQ(phase.kind(), Kind::kDecodeTail);
}

TEST(RolloutPhaseTest, SkipsWhatItDoesNotPassThrough) {
  RolloutPhase straight_to_tail(kBins, 100, 1);
  EXPECT_EQ(straight_to_tail.after_pass(2, 0), at(Kind::kDecodeTail));
  RolloutPhase one_pass(kBins, 100, 1);
  EXPECT_EQ(one_pass.after_pass(100, 0), std::nullopt);
  EXPECT_EQ(one_pass.wait_for_rewards(), at(Kind::kReward));
}

TEST(RolloutPhaseTest, FewSamplesHaveNoBulk) {
  RolloutPhase phase(kBins, 7, 1);
  EXPECT_EQ(phase.after_pass(40, 0), at(Kind::kDecodeTail));
  RolloutPhase enough(kBins, 8, 1);
  EXPECT_EQ(enough.after_pass(40, 0), at(Kind::kDecodeBulk));
}

TEST(RolloutPhaseTest, ATurnBeginsWithItsWaitForTools) {
  RolloutPhase phase(kBins, 40, 3);
  EXPECT_EQ(phase.after_pass(20, 0), at(Kind::kDecodeBulk));
  EXPECT_EQ(phase.wait_for_tools(), at(Kind::kTool, 1));
  EXPECT_EQ(phase.wait_for_tools(), std::nullopt);
  EXPECT_EQ(phase.after_pass(70, 0), at(Kind::kPrefill, 1));  // answers are taken in
  EXPECT_EQ(phase.after_pass(20, 0), at(Kind::kDecodeBulk, 1));
  EXPECT_EQ(phase.wait_for_tools(), at(Kind::kTool, 2));
  EXPECT_EQ(phase.after_pass(3, 0), at(Kind::kDecodeTail, 2));  // short ones
  EXPECT_EQ(phase.wait_for_tools(), std::nullopt) << "there is no further turn";
  EXPECT_EQ(phase.kind(), Kind::kDecodeTail);
  EXPECT_EQ(phase.wait_for_rewards(), at(Kind::kReward, 2));
}

TEST(RolloutPhaseTest, TurnsThatNobodyTakesAreSkipped) {
  RolloutPhase phase(kBins, 4, 5);
  EXPECT_EQ(phase.after_pass(4, 0), at(Kind::kDecodeTail));
  EXPECT_EQ(phase.wait_for_rewards(), at(Kind::kReward, 4));
  RolloutPhase waiting(kBins, 4, 5);
  EXPECT_EQ(waiting.wait_for_tools(), at(Kind::kTool, 1));
  EXPECT_EQ(waiting.wait_for_rewards(), at(Kind::kReward, 4));  // the answers filled the completions
}

}  // namespace
}  // namespace jigsaw
