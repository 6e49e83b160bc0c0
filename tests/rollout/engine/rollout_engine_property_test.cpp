// Random loads (random_load.h) on the fake model, which checks every block it reads. A failure names its seed.
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "tests/rollout/engine/random_load.h"

namespace jigsaw {
namespace {

using namespace jigsaw::testing;  // NOLINT: a test of what it holds

// `memory` of the fake: text that repeats itself gives drafts that are right, and long ones.
LoadModel fake_model(std::size_t memory) {
  return {.vocab_size = kFakeVocab,
          .eos_token = kFakeEos,
          .make_pass = [=](int) { return std::make_unique<FakeForwardPass>(kFakeVocab, memory); },
          .make_naive = [=](int) { return fake_logits(kFakeVocab, memory); }};
}

TEST(RolloutEnginePropertyTest, AnyLoadComesOutAsNaiveGeneration) {
  int num_drafted = 0, num_accepted = 0;
  int num_paused = 0, num_preempted = 0, num_cancelled = 0, num_adopted = 0;
  for (std::uint64_t seed = 1; seed <= 450; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const LoadModel model = fake_model(seed % 3 == 0 ? 0 : seed % 3);
    Load load(model, seed);
    load.run();
    if (HasFailure()) return;
    num_preempted += load.preempted();
    num_cancelled += load.num_cancelled();
    num_adopted += load.num_adopted();
    num_paused += load.num_paused();
    num_drafted += load.num_drafted();
    num_accepted += load.num_accepted();
  }
  EXPECT_GT(num_accepted, 3000);
  EXPECT_GT(num_drafted - num_accepted, 3000);
  EXPECT_GT(num_preempted, 300);
  EXPECT_GT(num_cancelled, 300);
  EXPECT_GT(num_adopted, 20);
  EXPECT_GT(num_paused, 1000);
}

}  // namespace
}  // namespace jigsaw
