#include "workers/stages/rollout_phase.h"

#include <gtest/gtest.h>

namespace jigsaw {
namespace {

constexpr TokenBins kBins{.tail_below = 8, .wide_from = 64};
using Kind = SubStageKind;

TEST(RolloutPhaseTest, GoesAlongTheChainAsPassesBecomeNarrower) {
  RolloutPhase phase(kBins, 40);
  EXPECT_EQ(phase.after_pass(100, 0), std::nullopt);  // wide
  EXPECT_EQ(phase.after_pass(40, 3), std::nullopt);   // some still wait
  EXPECT_EQ(phase.after_pass(63, 0), Kind::kDecodeBulk);
  EXPECT_EQ(phase.after_pass(8, 0), std::nullopt);
  EXPECT_EQ(phase.after_pass(7, 0), Kind::kDecodeTail);
  EXPECT_EQ(phase.wait_for_rewards(), Kind::kReward);
  EXPECT_EQ(phase.wait_for_rewards(), std::nullopt);
}

TEST(RolloutPhaseTest, NeverGoesBack) {
  RolloutPhase phase(kBins, 100);
  EXPECT_EQ(phase.after_pass(20, 0), Kind::kDecodeBulk);
  EXPECT_EQ(phase.after_pass(200, 5), std::nullopt);
  EXPECT_EQ(phase.after_pass(3, 5), Kind::kDecodeTail);
  EXPECT_EQ(phase.after_pass(200, 5), std::nullopt);
  EXPECT_EQ(phase.kind(), Kind::kDecodeTail);
}

TEST(RolloutPhaseTest, SkipsWhatItDoesNotPassThrough) {
  RolloutPhase straight_to_tail(kBins, 100);
  EXPECT_EQ(straight_to_tail.after_pass(2, 0), Kind::kDecodeTail);
  RolloutPhase one_pass(kBins, 100);
  EXPECT_EQ(one_pass.after_pass(100, 0), std::nullopt);
  EXPECT_EQ(one_pass.wait_for_rewards(), Kind::kReward);
}

TEST(RolloutPhaseTest, FewSamplesHaveNoBulk) {
  RolloutPhase phase(kBins, 7);
  EXPECT_EQ(phase.after_pass(40, 0), Kind::kDecodeTail);
  RolloutPhase enough(kBins, 8);
  EXPECT_EQ(enough.after_pass(40, 0), Kind::kDecodeBulk);
}

}  // namespace
}  // namespace jigsaw
