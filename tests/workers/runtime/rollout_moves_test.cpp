// Rollouts that move between workers while they run: a real controller, real workers on threads of their own, tiny
// models, and a policy that moves whatever can be moved. What is trained must be what is trained without it.
#include "workers/moves/rollout_moves.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "scheduler/policies/greedy.h"
#include "tests/workers/runtime/threaded_run.h"

namespace jigsaw {
namespace {

constexpr int kSteps = 6;

// Long tails, and a bin so wide that all decoding counts as one.
std::string job_yaml(const std::string& merge_by, const std::string& more_rollout = "") {
  return "seed: 7\nmerge_by: " + merge_by + R"(
bins: {tail_below: 200, wide_from: 400}
pipelines:
- name: a
  model_config: {hidden_size: 32, num_layers: 2, num_heads: 4, num_kv_heads: 2, intermediate_size: 48}
  task: {name: sort, length_min: 2, length_max: 4, alphabet: "1234"}
  reward: {type: char_match}
  rollout: {prompts_per_step: 6, group_size: 2, max_positions: 160, )" +
         more_rollout + R"(forced_lengths: "8x12,2x40,2x120"}
  train: {steps: 6, lr: 1e-2, grad_slots: 3, micro_batch_tokens: 256}
)";
}

// Completions of random characters: one in fourteen ends a call, and few calls are arithmetic.
std::string tool_yaml(const std::string& merge_by, const std::string& more = "") {
  return "seed: 7\nmerge_by: " + merge_by + R"(
bins: {tail_below: 200, wide_from: 400}
pipelines:
- name: a
  model_config: {hidden_size: 32, num_layers: 2, num_heads: 4, num_kv_heads: 2, intermediate_size: 48}
  task: {name: addition, digits_max: 1, template: "{input}="}
  reward: {type: char_match}
  algorithm: {name: grpo, beta: 0.01}
  tool: {type: calculator, call_end: "=", answer_end: "+", calls_max: 3, error_answer: "0"}
  rollout: {prompts_per_step: 6, group_size: 2, max_positions: 160, )" +
         more + R"(max_new_tokens: 120}
  train: {steps: 6, lr: 1e-2, grad_slots: 3, micro_batch_tokens: 256}
)";
}

// Moves a random running tail onto another random one, whenever it is asked and the coin says so.
class RestlessPolicy : public Policy {
 public:
  explicit RestlessPolicy(std::uint32_t seed) : random_(seed) {}
  std::string_view name() const override { return "restless"; }
  Decision choose(const Plan& plan, const Capacity& capacity, Clock::TimePoint now) const override {
    Decision decision = GreedyPolicy().choose(plan, capacity, now);
    std::vector<std::pair<NodeRef, NodeRef>> pairs;
    for (const NodeRef from : plan.running()) {
      for (const NodeRef to : plan.running()) {
        if (plan.can_merge(from, to)) pairs.emplace_back(from, to);
      }
    }
    if (pairs.empty() || random_() % 4 == 0) return decision;
    const auto& [from, to] = pairs[random_() % pairs.size()];
    decision.merge.push_back({.from = from, .to = to, .reason = "for the test"});
    return decision;
  }

 private:
  mutable std::mt19937 random_;
};

void expect_same(const Outcome& outcome, const Outcome& reference) {
  EXPECT_EQ(outcome.record.hashes, reference.record.hashes);
  EXPECT_EQ(outcome.record.samples, reference.record.samples);
}

TEST(RolloutMovesTest, TokensLogprobsAndWeightsAreTheSameWithMovesAtRandomMoments) {
  const Outcome reference = run(job_yaml("auto"), 1, std::make_unique<GreedyPolicy>());
  ASSERT_EQ(reference.record.hashes.size(), static_cast<std::size_t>(kSteps));
  ASSERT_EQ(reference.record.samples.size(), 12u * kSteps);
  EXPECT_EQ(reference.summary.migrations, 0);
  std::uint32_t seed = 0;
  for (const char* way : {"recompute", "kv_copy"}) {
    for (const int num_workers : {2, 3}) {
      SCOPED_TRACE(std::string(way) + ", " + std::to_string(num_workers) + " workers");
      const Outcome moved = run(job_yaml(way), num_workers, std::make_unique<RestlessPolicy>(++seed));
      expect_same(moved, reference);
      EXPECT_GT(moved.summary.migrations, kSteps);
    }
  }
}

TEST(RolloutMovesTest, KvCopiesComputeNothingAgainWhereThereIsRoom) {
  const Outcome recomputed = run(job_yaml("recompute"), 2, std::make_unique<RestlessPolicy>(3));
  const Outcome copied = run(job_yaml("kv_copy"), 2, std::make_unique<RestlessPolicy>(3));
  EXPECT_GT(recomputed.summary.recomputed_tokens, recomputed.summary.migrations);
  // Those that came back before they were sent, and those that found no room, are computed again.
  EXPECT_LT(copied.summary.recomputed_tokens, recomputed.summary.recomputed_tokens / 2);
}

// 12 sequences where 5 run at a time, in a KV cache that holds two long ones: transfers are refused, sequences wait and
// are preempted.
TEST(RolloutMovesTest, TargetsWithoutRoomRefuseAndNothingIsLost) {
  const Outcome reference = run(job_yaml("auto"), 1, std::make_unique<GreedyPolicy>());
  const std::string tight = job_yaml("kv_copy", "max_batch: 5, kv_mb: 0.1, ");
  expect_same(run(tight, 3, std::make_unique<RestlessPolicy>(5)), reference);
}

TEST(RolloutMovesTest, TwoLanesMoveToo) {
  const Outcome reference = run(job_yaml("auto"), 1, std::make_unique<GreedyPolicy>());
  const Outcome moved = run(job_yaml("auto"), 2, std::make_unique<RestlessPolicy>(9), 2);
  expect_same(moved, reference);
  EXPECT_GT(moved.summary.migrations, 0);
}

TEST(RolloutMovesTest, CompletionsThatCallToolsMoveInAnyTurn) {
  const Outcome reference = run(tool_yaml("auto"), 1, std::make_unique<GreedyPolicy>());
  ASSERT_EQ(reference.record.samples.size(), 12u * kSteps);
  std::size_t num_calls = 0;
  for (const auto& [place, sample] : reference.record.samples) {
    const auto& [tokens, logprobs, ref_logprobs, given, reward] = sample;
    num_calls += given.size() / 2;
    EXPECT_LE(given.size() / 2, 3u);
    ASSERT_EQ(ref_logprobs.size(), logprobs.size());
    std::size_t num_zero = 0;
    for (std::size_t i = 0; i + 1 < given.size(); i += 2) {
      for (std::uint32_t token = given[i]; token < given[i + 1]; ++token, ++num_zero) {
        EXPECT_EQ(logprobs[token], 0);
        EXPECT_EQ(ref_logprobs[token], 0);
      }
    }
    EXPECT_EQ(std::ranges::count(logprobs, 0.0f), num_zero);
    EXPECT_EQ(std::ranges::count(ref_logprobs, 0.0f), num_zero);
  }
  EXPECT_GT(num_calls, 50u);
  std::uint32_t seed = 20;
  for (const char* way : {"recompute", "kv_copy"}) {
    for (const int num_workers : {2, 3}) {
      SCOPED_TRACE(std::string(way) + ", " + std::to_string(num_workers) + " workers");
      const Outcome moved = run(tool_yaml(way), num_workers, std::make_unique<RestlessPolicy>(++seed));
      expect_same(moved, reference);
      EXPECT_GT(moved.summary.migrations, kSteps);
    }
  }
  const std::string tight = tool_yaml("kv_copy", "max_batch: 5, kv_mb: 0.1, ");
  expect_same(run(tight, 3, std::make_unique<RestlessPolicy>(5)), reference);
}

}  // namespace
}  // namespace jigsaw
