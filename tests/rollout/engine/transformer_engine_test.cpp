// The engine over the real transformer, small models of every family: tokens and log-probs equal, bit for bit, those of
// one sequence at a time and one token a pass, and those that the trainer computes.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "rollout/engine/generate.h"
#include "rollout/models/training_pass.h"
#include "tests/rollout/engine/random_load.h"
#include "tests/rollout/models/model_testing.h"

namespace jigsaw {
namespace {

using namespace jigsaw::testing;  // NOLINT: a test of what it holds

constexpr int kMaxPositions = 120;

// Short and long prompts, alone and in groups, greedy and not.
std::vector<RolloutRequest> mixed_requests(int vocab_size) {
  std::vector<RolloutRequest> requests;
  for (std::uint64_t id = 0; id < 10; ++id) {
    const std::uint64_t group = id % 3;
    const int num_prompt = group == 0 ? 1 + static_cast<int>(id) * 5 : group == 1 ? 37 : 16;
    requests.push_back(request_of(id, random_tokens(num_prompt, vocab_size, group == 0 ? 50 + id : group),
                                  20 + static_cast<int>(id), group));
    SamplingParams& sampling = requests.back().sampling;
    if (id == 3) sampling.temperature = 0;
    if (id == 4) sampling.top_k = 5;
    if (id == 5) sampling.top_p = 0.7f;
  }
  return requests;
}

class TransformerEngineTest : public ::testing::TestWithParam<std::string> {
 protected:
  const std::unique_ptr<PolicyWeights> weights_ = small_model(GetParam());
  const int vocab_size_ = weights_->config().vocab_size;

  std::unique_ptr<RolloutEngine> engine_of(EngineOptions options, int num_blocks = 0) const {
    options.max_positions = kMaxPositions;
    options.kv_bytes_max =
        static_cast<std::size_t>(num_blocks) * sizeof(float) * Transformer(*weights_, kMaxPositions).kv_block_floats();
    return std::move(RolloutEngine::create(*weights_, nullptr, options)).value();
  }
};

TEST_P(TransformerEngineTest, TokensAndLogprobsDoNotDependOnBatchChunksPressureOrThreads) {
  const std::vector<RolloutRequest> requests = mixed_requests(vocab_size_);
  std::vector<RolloutOutput> expected;
  for (const RolloutRequest& request : requests) {
    expected.push_back(generate_naively({.next_logits = transformer_logits(*weights_, kMaxPositions),
                                         .eos_tokens = weights_->config().eos_tokens,
                                         .max_positions = kMaxPositions},
                                        request));
  }
  struct Case {
    EngineOptions options;
    int num_blocks;
    int num_threads;
  };
  const std::vector<Case> cases{{{.max_batch = 1, .max_step_tokens = 512}, 0, 1},
                                {{.max_batch = 16, .max_step_tokens = 512}, 0, 2},
                                {{.max_batch = 16, .max_step_tokens = 17}, 0, 3},
                                {{.max_batch = 4, .max_step_tokens = 5}, 0, 1},
                                {{.max_batch = 16, .max_step_tokens = 40}, 8, 2}};
  for (std::size_t i = 0; i < cases.size(); ++i) {
    SCOPED_TRACE("case " + std::to_string(i));
    const auto engine = engine_of(cases[i].options, cases[i].num_blocks);
    for (const RolloutRequest& request : requests) submit(*engine, request);
    Lane lane(cases[i].num_threads);
    RunTotals totals = run_to_end(*engine, lane);
    for (const RolloutOutput& output : expected) expect_same(totals.outputs[output.id], output);
    EXPECT_EQ(totals.preempted > 0, cases[i].num_blocks > 0);
  }
}

// One engine after another computes a few passes of each sequence; keys and values are handed on, and nothing is
// computed twice.
TEST_P(TransformerEngineTest, SequencesHandedOnWithTheirKvGoOnTheSame) {
  std::vector<RolloutRequest> requests = mixed_requests(vocab_size_);
  std::map<std::uint64_t, RolloutOutput> expected;
  for (const RolloutRequest& request : requests) {
    expected[request.id] = generate_naively({.next_logits = transformer_logits(*weights_, kMaxPositions),
                                             .eos_tokens = weights_->config().eos_tokens,
                                             .max_positions = kMaxPositions},
                                            request);
  }
  Lane lane(2);
  auto engine = engine_of({.max_batch = 16, .max_step_tokens = 64});
  for (const RolloutRequest& request : requests) submit(*engine, request);
  RunTotals totals;
  for (int hop = 0; hop < 6; ++hop) {
    for (int pass = 0; pass < 6; ++pass) totals.add(engine->step(lane));
    auto next = engine_of({.max_batch = 16, .max_step_tokens = 64});
    for (RolloutRequest& request : requests) {
      if (totals.outputs.contains(request.id)) continue;
      std::vector<std::vector<float>> blocks;
      const auto kv = engine->sequence_kv(request.id);
      ASSERT_TRUE(kv.has_value());
      for (const float* block : kv->blocks) blocks.emplace_back(block, block + kv->block_floats);
      const KvImport import{.num_positions = kv->num_positions,
                            .block_floats = kv->block_floats,
                            .read_block = [&](int index, std::span<float> block) {
                              std::ranges::copy(blocks.at(static_cast<std::size_t>(index)), block.begin());
                            }};
      RolloutOutput partial = *engine->cancel(request.id);
      request.partial_tokens = std::move(partial.tokens);
      request.partial_logprobs = std::move(partial.logprobs);
      const auto adopted = next->submit_with_kv(request, import);
      ASSERT_TRUE(adopted.ok()) << adopted.error().message();
      EXPECT_TRUE(*adopted);
      next->check_integrity();
    }
    engine->check_integrity();
    engine = std::move(next);
  }
  while (!engine->idle()) totals.add(engine->step(lane));
  for (const auto& [id, output] : expected) expect_same(totals.outputs[id], output);
}

TEST_P(TransformerEngineTest, AnyLoadComesOutAsNaiveGeneration) {
  const LoadModel model{.vocab_size = vocab_size_,
                        .eos_token = 3,
                        .make_pass = [&](int max_positions) { return make_transformer_pass(*weights_, max_positions); },
                        .make_naive = [&](int max_positions) { return transformer_logits(*weights_, max_positions); }};
  int num_accepted = 0;
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Load load(model, seed);
    load.run();
    if (HasFailure()) return;
    num_accepted += load.num_accepted();
  }
  EXPECT_GT(num_accepted, 20);
}

TEST_P(TransformerEngineTest, LogprobsAreThoseOfTheTrainer) {
  const std::vector<RolloutRequest> requests = mixed_requests(vocab_size_);
  const auto engine = engine_of({.max_batch = 16, .max_step_tokens = 24});
  for (const RolloutRequest& request : requests) submit(*engine, request);
  Lane lane(2);
  RunTotals totals = run_to_end(*engine, lane);
  std::vector<std::vector<TokenId>> tokens;
  std::vector<float> logprobs;
  for (const RolloutRequest& request : requests) {
    const RolloutOutput& output = totals.outputs[request.id];
    tokens.push_back(request.prompt);
    tokens.back().insert(tokens.back().end(), output.tokens.begin(), output.tokens.end());
    logprobs.insert(logprobs.end(), output.logprobs.begin(), output.logprobs.end());
  }
  std::vector<ScoredSequence> sequences;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    sequences.push_back({.tokens = tokens[i], .prompt_length = static_cast<int>(requests[i].prompt.size())});
  }
  TrainingPass trainer(*weights_, kMaxPositions, false);
  EXPECT_EQ(bits(trainer.score(lane, sequences, {})), bits(logprobs));
}

TEST_P(TransformerEngineTest, NewWeightsAreUsedFromTheNextRequestOn) {
  const auto engine = engine_of({.max_batch = 4});
  const std::unique_ptr<PolicyWeights> other = small_model(GetParam(), 2);
  const RolloutRequest request = request_of(1, random_tokens(40, vocab_size_, 1), 20, 6);
  Lane lane(1);
  submit(*engine, request);
  run_to_end(*engine, lane);
  std::ranges::copy(other->floats(), weights_->mutable_floats().begin());
  engine->on_weights_changed();
  submit(*engine, request);
  RunTotals totals = run_to_end(*engine, lane);
  expect_same(totals.outputs[1],
              generate_naively(
                  {.next_logits = transformer_logits(*other, kMaxPositions), .max_positions = kMaxPositions}, request));
}

TEST_P(TransformerEngineTest, GenerateGivesOutputsInTheOrderOfPrompts) {
  std::vector<std::vector<TokenId>> prompts;
  for (const int length : {3, 20, 1, 20, 7}) {
    prompts.push_back(random_tokens(length, vocab_size_, static_cast<std::uint64_t>(length)));
  }
  const GenerateOptions options{.sampling = {.max_new_tokens = 12}, .seed = 5, .max_batch = 2, .max_step_tokens = 16};
  Lane lane(2);
  const auto outputs = generate(lane, *weights_, nullptr, prompts, options);
  ASSERT_TRUE(outputs.ok()) << outputs.error().message();
  ASSERT_EQ(outputs->size(), prompts.size());
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    RolloutRequest request = request_of(i, prompts[i], 12);
    request.random_key = philox_key(5, 0, i);
    expect_same((*outputs)[i], generate_naively({.next_logits = transformer_logits(*weights_, 64)}, request));
  }
  EXPECT_NE((*outputs)[1].tokens, (*outputs)[3].tokens) << "equal prompts have keys of their own";
}

INSTANTIATE_TEST_SUITE_P(Families, TransformerEngineTest, ::testing::ValuesIn(small_model_names()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace jigsaw
