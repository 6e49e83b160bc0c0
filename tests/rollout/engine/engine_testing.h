// What the tests of the engine share: engines over the fake model, runs to the end, comparison of outputs.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "rollout/engine/rollout_engine.h"
#include "tests/rollout/engine/naive_generation.h"
#include "tests/rollout/models/model_testing.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_forward_pass.h"

namespace jigsaw::testing {

inline constexpr int kFakeVocab = 13;
inline constexpr TokenId kFakeEos = 12;

// `num_blocks` 0: as many as the options ask for. Its clock stands still, so no draft ever pays.
inline std::unique_ptr<RolloutEngine> fake_engine(EngineOptions options, int num_blocks = 0,
                                                  const Tokenizer* tokenizer = nullptr) {
  auto model = std::make_unique<FakeForwardPass>(kFakeVocab);
  if (num_blocks > 0) {
    options.kv_bytes_max = static_cast<std::size_t>(num_blocks) * model->kv_block_floats() * sizeof(float);
  }
  static const FakeClock still;
  auto engine = make_rollout_engine(std::move(model), {kFakeEos}, tokenizer, options, still);
  CHECK_MSG(engine.ok(), engine.error().message());
  return std::move(engine).value();
}

inline NaiveModel naive_fake(const EngineOptions& options, const Tokenizer* tokenizer = nullptr) {
  return {.next_logits = fake_logits(kFakeVocab),
          .eos_tokens = {kFakeEos},
          .tokenizer = tokenizer,
          .max_positions = options.max_positions};
}

inline RolloutRequest request_of(std::uint64_t id, std::vector<TokenId> prompt, int max_new_tokens,
                                 std::uint64_t prefix_group = 0) {
  RolloutRequest request;
  request.id = id;
  request.random_key = 1000 + id;
  request.prefix_group = prefix_group;
  request.prompt = std::move(prompt);
  request.sampling.max_new_tokens = max_new_tokens;
  return request;
}

inline void submit(RolloutEngine& engine, const RolloutRequest& request) {
  const Status status = engine.submit(request);
  ASSERT_TRUE(status.ok()) << status.error().message();
}

inline void expect_same(const RolloutOutput& actual, const RolloutOutput& expected) {
  EXPECT_EQ(actual.id, expected.id);
  EXPECT_EQ(actual.tokens, expected.tokens) << "id " << expected.id;
  EXPECT_EQ(bits(actual.logprobs), bits(expected.logprobs)) << "id " << expected.id;
  EXPECT_EQ(actual.finish_reason, expected.finish_reason) << "id " << expected.id;
  EXPECT_EQ(actual.given, expected.given) << "id " << expected.id;
}

// What a whole run adds up to.
struct RunTotals {
  std::map<std::uint64_t, RolloutOutput> outputs;
  std::map<std::uint64_t, std::vector<TokenId>> streamed;
  int num_steps = 0, prefill_tokens = 0, decode_tokens = 0, recomputed_tokens = 0, preempted = 0;
  int draft_tokens = 0, accepted_tokens = 0;

  void add(EngineStep step) {
    ++num_steps;
    prefill_tokens += step.prefill_tokens;
    decode_tokens += step.decode_tokens;
    recomputed_tokens += step.recomputed_tokens;
    preempted += step.preempted;
    draft_tokens += step.draft_tokens;
    accepted_tokens += step.accepted_tokens;
    EXPECT_LE(step.accepted_tokens, step.draft_tokens);
    EXPECT_TRUE(std::is_sorted(step.events.begin(), step.events.end(),
                               [](const auto& a, const auto& b) { return a.id < b.id; }));
    for (const auto& event : step.events) streamed[event.id].push_back(event.token);
    for (RolloutOutput& output : step.finished) {
      EXPECT_FALSE(outputs.contains(output.id)) << "finished twice";
      outputs[output.id] = std::move(output);
    }
  }
};

// Steps until idle; fails when that takes more steps than one token a step would.
inline RunTotals run_to_end(RolloutEngine& engine, Lane& lane, int num_steps_max = 20000) {
  RunTotals totals;
  while (!engine.idle() && totals.num_steps < num_steps_max) {
    totals.add(engine.step(lane));
    engine.check_integrity();
  }
  EXPECT_TRUE(engine.idle()) << "stuck: " << engine.num_running() << " running, " << engine.num_waiting() << " waiting";
  return totals;
}

}  // namespace jigsaw::testing
