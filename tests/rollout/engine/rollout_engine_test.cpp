#include "rollout/engine/rollout_engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "tests/rollout/engine/engine_testing.h"
#include "tests/support/fake_tokenizer.h"

namespace jigsaw {
namespace {

using namespace jigsaw::testing;  // NOLINT: a test of what it holds
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<TokenId> prompt_of(int num_tokens, int seed = 0) {
  std::vector<TokenId> prompt;
  for (int i = 0; i < num_tokens; ++i) prompt.push_back((i * 7 + seed * 3 + i / 5) % (kFakeVocab - 1));
  return prompt;
}

class RolloutEngineTest : public ::testing::Test {
 protected:
  // Runs all requests in one engine, and compares each with naive generation.
  RunTotals expect_naive(RolloutEngine& engine, const std::vector<RolloutRequest>& requests,
                         const EngineOptions& options) {
    for (const RolloutRequest& request : requests) submit(engine, request);
    RunTotals totals = run_to_end(engine, lane_);
    for (const RolloutRequest& request : requests) {
      expect_same(totals.outputs[request.id], generate_naively(naive_fake(options), request));
    }
    return totals;
  }

  Lane lane_{1};
};

TEST_F(RolloutEngineTest, IdleEngineDoesNothing) {
  const auto engine = fake_engine({});
  EXPECT_TRUE(engine->idle());
  const EngineStep step = engine->step(lane_);
  EXPECT_EQ(step.decode_tokens + step.prefill_tokens, 0);
  EXPECT_TRUE(step.finished.empty() && step.events.empty());
}

TEST_F(RolloutEngineTest, OneSequenceIsThatOfNaiveGeneration) {
  const EngineOptions options;
  const auto engine = fake_engine(options);
  RolloutRequest request = request_of(5, prompt_of(20), 50);
  request.sampling.ignore_eos = true;
  const RunTotals totals = expect_naive(*engine, {request}, options);
  EXPECT_EQ(totals.prefill_tokens, 20);
  EXPECT_EQ(totals.decode_tokens, 49);  // the last token is not run
  EXPECT_EQ(totals.num_steps, 50);
  EXPECT_EQ(totals.streamed.at(5), totals.outputs.at(5).tokens);
}

TEST_F(RolloutEngineTest, EndsWithTheEndTokenAndKeepsIt) {
  const EngineOptions options;
  const auto engine = fake_engine(options);
  std::vector<RolloutRequest> requests;
  for (std::uint64_t id = 0; id < 8; ++id) requests.push_back(request_of(id, prompt_of(5, static_cast<int>(id)), 200));
  const RunTotals totals = expect_naive(*engine, requests, options);
  for (const auto& [id, output] : totals.outputs) {
    EXPECT_EQ(output.finish_reason, FinishReason::kStop);
    EXPECT_EQ(output.tokens.back(), kFakeEos);
  }
}

TEST_F(RolloutEngineTest, EndsAtMaxPositions) {
  const EngineOptions options{.max_positions = 24};
  const auto engine = fake_engine(options);
  RolloutRequest request = request_of(1, prompt_of(20), 50);
  request.sampling.ignore_eos = true;
  const RunTotals totals = expect_naive(*engine, {request}, options);
  EXPECT_EQ(totals.outputs.at(1).tokens.size(), 4u);
  EXPECT_EQ(totals.outputs.at(1).finish_reason, FinishReason::kLength);
}

TEST_F(RolloutEngineTest, StopStringEndsAcrossTokens) {
  const FakeTokenizer tokenizer({"a", "b", "c", "d", "ab", "bc", "cd", "da", "", "e", "f", "g", "<eos>"});
  const EngineOptions options;
  const auto engine = fake_engine(options, 0, &tokenizer);
  int num_stopped = 0;
  for (std::uint64_t id = 0; id < 30; ++id) {
    RolloutRequest request = request_of(id, {1, 2}, 60);
    request.sampling.ignore_eos = true;
    request.sampling.stop_strings = {"bcd", "aa"};
    submit(*engine, request);
    const RunTotals totals = run_to_end(*engine, lane_);
    expect_same(totals.outputs.at(id), generate_naively(naive_fake(options, &tokenizer), request));
    num_stopped += totals.outputs.at(id).finish_reason == FinishReason::kStop;
  }
  EXPECT_GT(num_stopped, 10);
}

TEST_F(RolloutEngineTest, DecodingGoesOnBesideAChunkedPrefill) {
  const auto engine = fake_engine({.max_step_tokens = 8});
  RolloutRequest first = request_of(1, prompt_of(3), 40);
  first.sampling.ignore_eos = true;
  submit(*engine, first);
  engine->step(lane_);
  submit(*engine, request_of(2, prompt_of(30), 5));
  submit(*engine, request_of(3, prompt_of(10), 5));
  std::vector<int> prefill_tokens;
  for (int i = 0; i < 6; ++i) {
    const EngineStep step = engine->step(lane_);
    EXPECT_GE(step.decode_tokens, 1);
    EXPECT_LE(step.decode_tokens + step.prefill_tokens, 8);
    prefill_tokens.push_back(step.prefill_tokens);
  }
  // 30 and 10 rows, oldest first; in the sixth pass two sequences decode.
  EXPECT_THAT(prefill_tokens, ElementsAre(7, 7, 7, 7, 7, 5));
}

TEST_F(RolloutEngineTest, BatchStaysWithinItsBounds) {
  const auto engine = fake_engine({.max_batch = 3, .max_step_tokens = 64});
  for (std::uint64_t id = 0; id < 10; ++id) submit(*engine, request_of(id, prompt_of(4), 20));
  EXPECT_EQ(engine->num_waiting(), 10);
  while (!engine->idle()) {
    engine->step(lane_);
    EXPECT_LE(engine->num_running(), 3);
  }
  // A pass of one row still gets through, one sequence after the other.
  const EngineOptions narrow{.max_batch = 8, .max_step_tokens = 1};
  const auto narrow_engine = fake_engine(narrow);
  expect_naive(*narrow_engine, {request_of(1, prompt_of(9), 6), request_of(2, prompt_of(3), 6)}, narrow);
}

TEST_F(RolloutEngineTest, GroupComputesItsPromptOnce) {
  for (const int num_prompt : {1, 15, 16, 17, 40, 48}) {
    SCOPED_TRACE(num_prompt);
    const EngineOptions options{.max_step_tokens = 24};
    const auto engine = fake_engine(options);
    std::vector<RolloutRequest> requests;
    for (std::uint64_t id = 1; id <= 8; ++id) requests.push_back(request_of(id, prompt_of(num_prompt), 30, 77));
    const RunTotals totals = expect_naive(*engine, requests, options);
    EXPECT_EQ(totals.prefill_tokens, num_prompt);
  }
}

TEST_F(RolloutEngineTest, GroupSharesTheBlocksOfItsPrompt) {
  const auto engine = fake_engine({});
  for (std::uint64_t id = 1; id <= 4; ++id) {
    RolloutRequest request = request_of(id, prompt_of(70), 20, 77);
    request.sampling.ignore_eos = true;
    submit(*engine, request);
  }
  engine->step(lane_);
  engine->step(lane_);
  EXPECT_EQ(engine->num_running(), 4);
  // Four full blocks once; the fifth, begun by the prompt, once a member and once for members to come.
  EXPECT_EQ(engine->kv_bytes_used(), (4 + 4 + 1) * engine->kv_bytes_total() / (64 * 128));
  const auto first = engine->sequence_kv(1), second = engine->sequence_kv(2);
  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->blocks[3], second->blocks[3]);
  EXPECT_NE(first->blocks[4], second->blocks[4]);
}

TEST_F(RolloutEngineTest, GroupWithDifferentPromptsIsStillRight) {
  const EngineOptions options{.max_step_tokens = 10};
  const auto engine = fake_engine(options);
  std::vector<RolloutRequest> requests;
  for (std::uint64_t id = 1; id <= 9; ++id) {
    requests.push_back(request_of(id, prompt_of(30, static_cast<int>(id % 3)), 10, 5));
  }
  expect_naive(*engine, requests, options);
}

TEST_F(RolloutEngineTest, LaterMemberFindsThePromptUntilTheWeightsChange) {
  const EngineOptions options;
  const auto engine = fake_engine(options);
  EXPECT_EQ(expect_naive(*engine, {request_of(1, prompt_of(40), 9, 3)}, options).prefill_tokens, 40);
  EXPECT_EQ(expect_naive(*engine, {request_of(2, prompt_of(40), 9, 3)}, options).prefill_tokens, 0);
  EXPECT_GT(engine->kv_bytes_used(), 0u);
  engine->on_weights_changed();
  EXPECT_EQ(engine->kv_bytes_used(), 0u);
  EXPECT_EQ(expect_naive(*engine, {request_of(3, prompt_of(40), 9, 3)}, options).prefill_tokens, 40);
}

TEST_F(RolloutEngineTest, AnotherMemberTakesOverWhenTheFirstIsCancelled) {
  const EngineOptions options{.max_step_tokens = 8};
  const auto engine = fake_engine(options);
  for (std::uint64_t id = 1; id <= 3; ++id) submit(*engine, request_of(id, prompt_of(40), 9, 3));
  engine->step(lane_);
  EXPECT_EQ(engine->num_running(), 1);
  EXPECT_EQ(engine->num_waiting(), 2);
  ASSERT_TRUE(engine->cancel(1).has_value());
  engine->check_integrity();
  RunTotals totals = run_to_end(*engine, lane_);
  for (const std::uint64_t id : {2, 3}) {
    expect_same(totals.outputs[id], generate_naively(naive_fake(options), request_of(id, prompt_of(40), 9, 3)));
  }
}

TEST_F(RolloutEngineTest, YoungestGivesWayWhenBlocksRunOutAndLosesNothing) {
  const EngineOptions options{.max_batch = 8};
  const auto engine = fake_engine(options, 9);
  std::vector<RolloutRequest> requests;
  for (std::uint64_t id = 1; id <= 6; ++id) {
    requests.push_back(request_of(id, prompt_of(10, static_cast<int>(id)), 100));
    requests.back().sampling.ignore_eos = true;
  }
  const RunTotals totals = expect_naive(*engine, requests, options);
  EXPECT_GT(totals.preempted, 0);
  EXPECT_GT(totals.recomputed_tokens, 0);
  EXPECT_EQ(totals.prefill_tokens + totals.decode_tokens - totals.recomputed_tokens, 6 * (10 + 99));
  for (const RolloutRequest& request : requests) {
    EXPECT_EQ(totals.streamed.at(request.id), totals.outputs.at(request.id).tokens) << "a token was streamed twice";
  }
}

TEST_F(RolloutEngineTest, SequenceGivesWayEvenWhenItsRowWasPlanned) {
  // A long prompt is prefilled a row a pass, beside a younger sequence that decodes since its prompt was cached. In
  // pass 80 the older one needs the block that no longer is there, when the younger one's row stands in the plan
  // already.
  const EngineOptions options{.max_step_tokens = 2, .max_positions = 128};
  const auto engine = fake_engine(options, 11);
  expect_naive(*engine, {request_of(1, prompt_of(16), 1, 5)}, options);
  const RolloutRequest older = request_of(2, prompt_of(100, 1), 5);
  RolloutRequest younger = request_of(3, prompt_of(16), 90, 5);
  younger.sampling.ignore_eos = true;
  submit(*engine, older);
  for (int i = 0; i < 5; ++i) engine->step(lane_);
  submit(*engine, younger);
  RunTotals totals = run_to_end(*engine, lane_);
  EXPECT_GT(totals.preempted, 0);
  for (const RolloutRequest& request : {older, younger}) {
    expect_same(totals.outputs[request.id], generate_naively(naive_fake(options), request));
  }
}

TEST_F(RolloutEngineTest, NobodyPassesASequenceThatWaitsForBlocks) {
  const auto engine = fake_engine({}, 8);
  submit(*engine, request_of(1, prompt_of(40), 30));
  submit(*engine, request_of(2, prompt_of(80), 30));
  submit(*engine, request_of(3, prompt_of(4), 2));
  engine->step(lane_);
  EXPECT_EQ(engine->num_running(), 1);
  EXPECT_EQ(engine->num_waiting(), 2);
  run_to_end(*engine, lane_);
}

TEST_F(RolloutEngineTest, MembersOfAGroupGiveWayAndComeBack) {
  const EngineOptions options{.max_batch = 8, .max_step_tokens = 16};
  const auto engine = fake_engine(options, 8);
  std::vector<RolloutRequest> requests;
  for (std::uint64_t id = 1; id <= 9; ++id) {
    requests.push_back(request_of(id, prompt_of(36, static_cast<int>(id % 2)), 70, 1 + id % 2));
    requests.back().sampling.ignore_eos = true;
  }
  EXPECT_GT(expect_naive(*engine, requests, options).preempted, 0);
}

TEST_F(RolloutEngineTest, SequenceThatNeedsTheWholePoolFinishes) {
  const EngineOptions options;
  const auto engine = fake_engine(options, 4);
  RolloutRequest whole = request_of(1, prompt_of(20), 45, 9);  // 64 positions are run: all four blocks
  whole.sampling.ignore_eos = true;
  RolloutRequest same = whole;
  same.id = 2;
  expect_naive(*engine, {whole, same}, options);
  RolloutRequest longer = whole;
  longer.sampling.max_new_tokens = 46;
  const Status status = engine->submit(longer);
  ASSERT_FALSE(status.ok());
  EXPECT_THAT(status.error().message(), HasSubstr("need 5 KV blocks, and kv_bytes_max has room for 4"));
}

TEST_F(RolloutEngineTest, CachedPromptsGoWhenRoomIsWanted) {
  const EngineOptions options;
  const auto engine = fake_engine(options, 4);
  for (std::uint64_t id = 1; id <= 5; ++id) {
    expect_naive(*engine, {request_of(id, prompt_of(30, static_cast<int>(id)), 20, id)}, options);
  }
}

TEST_F(RolloutEngineTest, CancelledSequenceGoesOnElsewhereAsIfNothingHadHappened) {
  const EngineOptions options;
  RolloutRequest request = request_of(4, prompt_of(21), 60);
  request.sampling.ignore_eos = true;
  const RolloutOutput expected = generate_naively(naive_fake(options), request);
  for (int num_steps = 0; num_steps < 60; num_steps += 7) {
    SCOPED_TRACE(num_steps);
    const auto engine = fake_engine(options);
    submit(*engine, request);
    for (int i = 0; i < num_steps; ++i) engine->step(lane_);
    const std::optional<RolloutOutput> cancelled = engine->cancel(4);
    ASSERT_TRUE(cancelled.has_value());
    EXPECT_EQ(cancelled->finish_reason, FinishReason::kCancelled);
    EXPECT_EQ(static_cast<int>(cancelled->tokens.size()), num_steps);
    EXPECT_TRUE(engine->idle());
    EXPECT_EQ(engine->kv_bytes_used(), 0u);

    const auto other = fake_engine({.max_step_tokens = 16});
    RolloutRequest resumed = request;
    resumed.partial_tokens = cancelled->tokens;
    resumed.partial_logprobs = cancelled->logprobs;
    submit(*other, resumed);
    const RunTotals totals = run_to_end(*other, lane_);
    expect_same(totals.outputs.at(4), expected);
    EXPECT_EQ(totals.streamed.at(4).size() + cancelled->tokens.size(), expected.tokens.size());
    EXPECT_EQ(totals.recomputed_tokens, num_steps == 0 ? 0 : 21 + num_steps - 1);
  }
}

TEST_F(RolloutEngineTest, ResumedMembersShareTheirPromptToo) {
  const EngineOptions options{.max_step_tokens = 32};
  std::vector<RolloutRequest> requests;
  for (std::uint64_t id = 1; id <= 5; ++id) {
    requests.push_back(request_of(id, prompt_of(40), 50, 2));
    requests.back().sampling.ignore_eos = true;
  }
  const auto engine = fake_engine(options);
  for (const RolloutRequest& request : requests) {
    RolloutRequest resumed = request;
    if (request.id != 3) {  // one begins anew, after a resumed one has computed the prompt
      const RolloutOutput whole = generate_naively(naive_fake(options), request);
      resumed.partial_tokens.assign(whole.tokens.begin(), whole.tokens.begin() + 10);
      resumed.partial_logprobs.assign(whole.logprobs.begin(), whole.logprobs.begin() + 10);
    }
    submit(*engine, resumed);
  }
  RunTotals totals = run_to_end(*engine, lane_);
  for (const RolloutRequest& request : requests) {
    expect_same(totals.outputs[request.id], generate_naively(naive_fake(options), request));
  }
  EXPECT_EQ(totals.prefill_tokens, 40 + 4 * 10);
}

TEST_F(RolloutEngineTest, PartialTokensThatAreCompleteEndAtOnce) {
  const auto engine = fake_engine({});
  RolloutRequest stopped = request_of(1, prompt_of(4), 10);
  stopped.partial_tokens = {3, kFakeEos};
  stopped.partial_logprobs = {-1, -2};
  RolloutRequest full = request_of(2, prompt_of(4), 2);
  full.partial_tokens = {3, 4};
  full.partial_logprobs = {-1, -2};
  for (const RolloutRequest& request : {stopped, full, request_of(3, prompt_of(4), 0)}) submit(*engine, request);
  EXPECT_FALSE(engine->idle());
  const EngineStep step = engine->step(lane_);
  ASSERT_EQ(step.finished.size(), 3u);
  expect_same(step.finished[0], {1, {3, kFakeEos}, {-1, -2}, FinishReason::kStop});
  expect_same(step.finished[1], {2, {3, 4}, {-1, -2}, FinishReason::kLength});
  expect_same(step.finished[2], {3, {}, {}, FinishReason::kLength});
  EXPECT_TRUE(engine->idle());

  RolloutRequest beyond = stopped;
  beyond.partial_tokens = {kFakeEos, 3};
  const Status status = engine->submit(beyond);
  ASSERT_FALSE(status.ok());
  EXPECT_THAT(status.error().message(), HasSubstr("go on after token 1"));
  EXPECT_TRUE(engine->idle());
}

TEST_F(RolloutEngineTest, CancelFindsEverySequenceOnce) {
  const auto engine = fake_engine({.max_batch = 1});
  RolloutRequest ended = request_of(3, prompt_of(4), 0);
  for (const RolloutRequest& request : {request_of(1, prompt_of(4), 50), request_of(2, prompt_of(4), 50)}) {
    submit(*engine, request);
  }
  engine->step(lane_);
  submit(*engine, ended);
  EXPECT_FALSE(engine->cancel(99).has_value());
  for (const std::uint64_t id : {1, 2, 3}) {
    EXPECT_TRUE(engine->cancel(id).has_value());
    EXPECT_FALSE(engine->cancel(id).has_value());
    engine->check_integrity();
  }
  EXPECT_TRUE(engine->idle());
}

TEST_F(RolloutEngineTest, IdIsUniqueWhileInUse) {
  const auto engine = fake_engine({});
  submit(*engine, request_of(1, prompt_of(4), 5));
  const Status status = engine->submit(request_of(1, prompt_of(3), 5));
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code(), ErrorCode::kInvalidArgument);
  run_to_end(*engine, lane_);
  submit(*engine, request_of(1, prompt_of(3), 5));
  run_to_end(*engine, lane_);
}

TEST_F(RolloutEngineTest, KeysAndValuesOfASequenceCanBeRead) {
  const auto engine = fake_engine({});
  EXPECT_FALSE(engine->sequence_kv(1).has_value());
  RolloutRequest request = request_of(1, prompt_of(20), 30);
  request.sampling.ignore_eos = true;
  submit(*engine, request);
  EXPECT_FALSE(engine->sequence_kv(1).has_value());
  RunTotals totals;
  for (int i = 0; i < 15; ++i) totals.add(engine->step(lane_));
  const auto kv = engine->sequence_kv(1);
  ASSERT_TRUE(kv.has_value());
  EXPECT_EQ(kv->num_positions, 34);
  ASSERT_EQ(kv->blocks.size(), 3u);
  EXPECT_EQ(kv->block_floats, 2u * 16);
  std::vector<TokenId> tokens = request.prompt;
  tokens.insert(tokens.end(), totals.streamed[1].begin(), totals.streamed[1].end());
  for (int position = 0; position < 34; ++position) {
    EXPECT_EQ(kv->blocks[static_cast<std::size_t>(position / 16)][2 * (position % 16)],
              static_cast<float>(tokens[static_cast<std::size_t>(position)]));
  }
}

TEST_F(RolloutEngineTest, PoolMustHoldABlock) {
  const auto engine =
      make_rollout_engine(std::make_unique<FakeForwardPass>(kFakeVocab), {}, nullptr, {.kv_bytes_max = 100});
  ASSERT_FALSE(engine.ok());
  EXPECT_THAT(engine.error().message(), HasSubstr("kv_bytes_max: 100"));
}

// ---- sequences that come with their keys and values ----------------------------------------------------------------

// Runs a request for a few passes and takes it out with its blocks.
struct HandedOn {
  RolloutRequest request;
  std::vector<std::vector<float>> blocks;
  int num_positions = 0;
  KvImport import() const {
    return {.num_positions = num_positions,
            .block_floats = blocks.at(0).size(),
            .read_block = [this](int index, std::span<float> block) {
              std::ranges::copy(blocks.at(static_cast<std::size_t>(index)), block.begin());
            }};
  }
};

HandedOn hand_on(RolloutRequest request, int num_passes) {
  const auto engine = fake_engine({.max_batch = 4, .max_step_tokens = 64, .max_positions = 200});
  Lane lane(1);
  submit(*engine, request);
  for (int pass = 0; pass < num_passes; ++pass) (void)engine->step(lane);
  HandedOn handed{.request = std::move(request), .blocks = {}};
  const auto kv = engine->sequence_kv(handed.request.id);
  CHECK(kv.has_value());
  handed.num_positions = kv->num_positions;
  for (const float* block : kv->blocks) handed.blocks.emplace_back(block, block + kv->block_floats);
  RolloutOutput partial = *engine->cancel(handed.request.id);
  handed.request.partial_tokens = std::move(partial.tokens);
  handed.request.partial_logprobs = std::move(partial.logprobs);
  return handed;
}

RolloutRequest endless(std::uint64_t id, std::size_t num_prompt, std::uint64_t group = 0) {
  RolloutRequest request = request_of(id, std::vector<TokenId>(num_prompt, 3), 100, group);
  request.sampling.ignore_eos = true;
  return request;
}

TEST(RolloutEngineKvTest, NothingIsComputedAgain) {
  const HandedOn handed = hand_on(endless(1, 40), 10);
  const auto engine = fake_engine({.max_batch = 4, .max_step_tokens = 64, .max_positions = 200});
  EXPECT_TRUE(*engine->submit_with_kv(handed.request, handed.import()));
  Lane lane(1);
  const EngineStep step = engine->step(lane);
  EXPECT_EQ(step.decode_tokens, 1);
  EXPECT_EQ(step.prefill_tokens, 0);
}

TEST(RolloutEngineKvTest, ThePromptsBlocksAreSharedWithItsGroup) {
  const HandedOn handed = hand_on(endless(1, 40, 7), 10);  // 40 + 9 positions: 4 blocks, 2 of them prompt alone
  const auto engine = fake_engine({.max_batch = 4, .max_step_tokens = 64, .max_positions = 200});
  Lane lane(1);
  submit(*engine, endless(2, 40, 7));
  (void)engine->step(lane);
  const std::size_t before = engine->kv_bytes_used();
  EXPECT_TRUE(*engine->submit_with_kv(handed.request, handed.import()));
  engine->check_integrity();
  const std::size_t block_bytes = engine->sequence_kv(1)->block_floats * sizeof(float);
  EXPECT_EQ(engine->kv_bytes_used() - before, 2 * block_bytes);
  EXPECT_EQ(engine->sequence_kv(1)->blocks[1], engine->sequence_kv(2)->blocks[1]);
  EXPECT_NE(engine->sequence_kv(1)->blocks[2], engine->sequence_kv(2)->blocks[2]);
}

TEST(RolloutEngineKvTest, WithoutRoomItWaitsAndIsComputedAgain) {
  const HandedOn handed = hand_on(endless(1, 40), 10);
  const EngineOptions options{.max_batch = 1, .max_step_tokens = 64, .max_positions = 200};
  const auto engine = fake_engine(options);
  Lane lane(1);
  submit(*engine, request_of(2, {1, 2, 3}, 5));
  (void)engine->step(lane);
  EXPECT_FALSE(*engine->submit_with_kv(handed.request, handed.import()));
  EXPECT_EQ(engine->num_waiting(), 1);
  RunTotals totals = run_to_end(*engine, lane);
  RolloutRequest whole = handed.request;
  whole.partial_tokens.clear();
  whole.partial_logprobs.clear();
  expect_same(totals.outputs[1], generate_naively(naive_fake(options), whole));
}

TEST(RolloutEngineKvTest, NobodyPassesThoseThatWait) {
  const HandedOn handed = hand_on(endless(1, 20), 5);
  const auto engine = fake_engine({.max_batch = 4, .max_step_tokens = 64, .max_positions = 200});
  submit(*engine, endless(2, 20));  // not let in before the next step
  EXPECT_FALSE(*engine->submit_with_kv(handed.request, handed.import()));
}

TEST(RolloutEngineKvTest, KvOfAnotherModelOrLengthIsRefused) {
  const HandedOn handed = hand_on(endless(1, 20), 5);
  const auto engine = fake_engine({.max_batch = 4, .max_step_tokens = 64, .max_positions = 200});
  KvImport other_model = handed.import(), too_long = handed.import(), empty = handed.import();
  other_model.block_floats /= 2;
  too_long.num_positions = 25;  // all tokens: none would be left to run
  empty.num_positions = 0;
  for (const KvImport& import : {other_model, too_long, empty}) {
    EXPECT_FALSE(engine->submit_with_kv(handed.request, import).ok());
    EXPECT_TRUE(engine->idle());
  }
}

TEST(RolloutEngineKvTest, FreePositionsCountWhatCachedPrefixesCouldGiveBack) {
  const auto engine = fake_engine({.max_batch = 4, .max_step_tokens = 64, .max_positions = 200}, 10);
  EXPECT_EQ(engine->kv_positions_free(), 160);
  Lane lane(1);
  submit(*engine, endless(1, 40, 7));
  (void)engine->step(lane);
  (void)engine->step(lane);
  EXPECT_EQ(engine->kv_positions_free(), 160 - 3 * 16);  // the copy of the shared third block could be avoided
  (void)engine->cancel(1);
  EXPECT_EQ(engine->kv_positions_free(), 160);
}

}  // namespace
}  // namespace jigsaw
