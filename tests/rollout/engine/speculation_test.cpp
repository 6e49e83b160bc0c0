// Drafts change how many passes a sequence takes, and nothing else. That tokens and log-probs are the same under any
// load is what the random loads check (random_load.h); here is when drafts are tried, and what they bring.
#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "rollout/engine/verification.h"
#include "tests/rollout/engine/engine_testing.h"
#include "tests/support/timed_forward_pass.h"

namespace jigsaw {
namespace {

using namespace jigsaw::testing;  // NOLINT: a test of what it holds
using std::chrono::microseconds;

class SpeculationTest : public ::testing::Test {
 protected:
  std::unique_ptr<RolloutEngine> engine_of(EngineOptions options, std::size_t memory, int us_per_pass, int us_per_row) {
    auto pass = std::make_unique<TimedForwardPass>(
        std::make_unique<FakeForwardPass>(kFakeVocab, memory), clock_, [=](std::size_t rows) {
          return microseconds(us_per_pass) + us_per_row * microseconds(static_cast<int>(rows));
        });
    return std::move(make_rollout_engine(std::move(pass), {kFakeEos}, nullptr, options, clock_)).value();
  }

  static RolloutRequest request(std::uint64_t id, int max_new_tokens, float temperature, std::uint64_t group = 0) {
    RolloutRequest request = request_of(id, {1, 2, 3, 4}, max_new_tokens, group);
    request.sampling.ignore_eos = true;
    request.sampling.temperature = temperature;
    return request;
  }

  double seconds() const { return std::chrono::duration<double>(clock_.now().time_since_epoch()).count(); }

  static RolloutOutput naive(const RolloutRequest& request, std::size_t memory) {
    return generate_naively({.next_logits = fake_logits(kFakeVocab, memory), .eos_tokens = {kFakeEos}}, request);
  }

  Lane lane_{1};
  FakeClock clock_;
};

TEST_F(SpeculationTest, TextThatRepeatsItselfTakesFewPasses) {
  const auto engine = engine_of({}, 1, 1000, 1);
  const RolloutRequest asked = request(1, 400, 0);
  submit(*engine, asked);
  const RunTotals totals = run_to_end(*engine, lane_);
  expect_same(totals.outputs.at(1), naive(asked, 1));
  EXPECT_EQ(totals.streamed.at(1), totals.outputs.at(1).tokens) << "events come in order of position";
  EXPECT_LT(totals.num_steps, 100);
  EXPECT_EQ(totals.decode_tokens + totals.accepted_tokens, 399) << "every token but the first";
}

TEST_F(SpeculationTest, ASequenceFollowsItsFinishedSibling) {
  // The model never repeats itself, but greedy siblings say the same.
  const auto engine = engine_of({.max_batch = 1}, 0, 1000, 1);
  submit(*engine, request(1, 100, 0, 5));
  submit(*engine, request(2, 200, 0, 5));
  RunTotals totals;
  while (!totals.outputs.contains(1)) totals.add(engine->step(lane_));
  EXPECT_GT(totals.num_steps, 80);
  const int before = totals.num_steps;
  while (totals.streamed[2].size() < 100) totals.add(engine->step(lane_));
  EXPECT_LT(totals.num_steps - before, 40);
  engine->check_integrity();
  while (!engine->idle()) totals.add(engine->step(lane_));
  expect_same(totals.outputs.at(2), naive(request(2, 200, 0, 5), 0));
}

TEST_F(SpeculationTest, NothingIsDraftedWhereItIsOff) {
  const auto off = engine_of({.speculation = false}, 1, 1000, 1);
  submit(*off, request(1, 200, 0));
  EXPECT_EQ(run_to_end(*off, lane_).draft_tokens, 0);
  const auto engine = engine_of({}, 1, 1000, 1);
  RolloutRequest plain = request(1, 200, 0);
  plain.speculation = false;
  submit(*engine, plain);
  const RunTotals totals = run_to_end(*engine, lane_);
  EXPECT_EQ(totals.draft_tokens, 0);
  EXPECT_EQ(totals.num_steps, 200);
}

TEST_F(SpeculationTest, DraftsThatAreWrongOrDearCostNextToNothing) {
  struct Case {
    const char* name;
    std::size_t memory;
    float temperature;
    int us_per_pass, us_per_row;
  };
  for (const Case& c : {Case{"a row costs as much as a pass, drafts wrong", 0, 1, 0, 1000},
                        {"a row costs as much as a pass, drafts right", 1, 0, 0, 1000},
                        {"rows cost half a pass, drafts mostly wrong", 0, 1, 500, 500},
                        {"rows are cheap, drafts mostly wrong", 0, 1, 1000, 20}}) {
    SCOPED_TRACE(c.name);
    double taken[2];
    for (const bool speculation : {false, true}) {
      const double start = seconds();
      const auto engine = engine_of({.speculation = speculation}, c.memory, c.us_per_pass, c.us_per_row);
      for (std::uint64_t id = 0; id < 2; ++id) submit(*engine, request(id, 500, c.temperature));
      run_to_end(*engine, lane_);
      taken[speculation ? 1 : 0] = seconds() - start;
    }
    EXPECT_GT(taken[0] / taken[1], 0.97);
  }
}

TEST_F(SpeculationTest, ItStopsWhereTheLargerPassIsAsLongAsManySmallOnes) {
  // Up to 4 rows cost one; past that each costs a pass: drafts stay within.
  auto pass = std::make_unique<TimedForwardPass>(
      std::make_unique<FakeForwardPass>(kFakeVocab, 1), clock_,
      [](std::size_t rows) { return microseconds(1000) * std::max(1, static_cast<int>(rows) - 3); });
  const auto engine = std::move(make_rollout_engine(std::move(pass), {kFakeEos}, nullptr, {}, clock_)).value();
  submit(*engine, request(1, 1500, 0));
  int num_wide = 0, num_passes = 0;
  while (!engine->idle()) {
    num_wide += engine->step(lane_).draft_tokens > 3 ? 1 : 0;
    ++num_passes;
  }
  EXPECT_LT(num_passes, 500);
  EXPECT_LT(num_wide, num_passes / 10);
}

// Each row of a verified tree says what the model says after its path; the fork that is accepted becomes the sequence.
TEST(VerificationTest, RowsOfATreeSeeTheirPathOnly) {
  for (const int num_tokens : {1, 14, 15, 16, 17, 31, 32}) {
    SCOPED_TRACE(num_tokens);
    FakeForwardPass model(kFakeVocab);
    Lane lane(1);
    const auto pool = std::move(KvBlockPool::create(40, model.kv_block_floats())).value();
    Sequence sequence;
    for (int i = 0; i < num_tokens; ++i) sequence.tokens.push_back(i % 7);
    ASSERT_TRUE(pool->try_make_writable(sequence.lease, 0, num_tokens));
    if (num_tokens > 1) {
      const SequenceRows prefix{.num_rows = num_tokens - 1, .blocks = sequence.lease.bases()};
      model.forward(lane, {.tokens = std::span(sequence.tokens).first(static_cast<std::size_t>(num_tokens - 1)),
                           .sequences = {&prefix, 1},
                           .logit_rows = {}});
    }
    sequence.kv_length = num_tokens - 1;

    DraftTree tree;  // 1 2 3 | 1 2 5 6 | 1 7 | 8 9
    const int a = tree.add({.token = 1, .probability = 0.9});
    const int b = tree.add({.token = 2, .parent = a, .depth = 2, .probability = 0.8});
    tree.add({.token = 3, .parent = b, .depth = 3, .probability = 0.7});
    const int d = tree.add({.token = 5, .parent = b, .depth = 3, .probability = 0.6});
    tree.add({.token = 6, .parent = d, .depth = 4, .probability = 0.5});
    tree.add({.token = 7, .parent = a, .depth = 2, .probability = 0.4});
    const int g = tree.add({.token = 8, .probability = 0.3});
    tree.add({.token = 9, .parent = g, .depth = 2, .probability = 0.2});
    tree.keep(std::vector<std::uint8_t>(8, 1));

    Verification verification;
    verification.begin(*pool, sequence, tree);
    ASSERT_EQ(verification.num_drafts(), 8);
    std::vector<std::int32_t> tokens, logit_rows;
    std::vector<SequenceRows> rows;
    verification.add_rows(tokens, rows);
    EXPECT_EQ(rows.size(), 4u) << "one chain and three forks";
    for (std::int32_t row = 0; row < 9; ++row) logit_rows.push_back(row);
    const auto logits = model.forward(lane, {.tokens = tokens, .sequences = rows, .logit_rows = logit_rows});
    for (std::size_t row = 0; row < 9; ++row) {
      std::vector<TokenId> path;
      for (int node = static_cast<int>(row) - 1; node >= 0;
           node = tree.nodes()[static_cast<std::size_t>(node)].parent) {
        path.insert(path.begin(), tree.nodes()[static_cast<std::size_t>(node)].token);
      }
      path.insert(path.begin(), sequence.tokens.begin(), sequence.tokens.end());
      const auto expected = FakeForwardPass::logits_after(path, kFakeVocab);
      EXPECT_EQ(bits(logits.subspan(row * kFakeVocab, kFakeVocab)), bits(expected)) << "row " << row;
    }

    int row = 0;
    for (const TokenId token : {1, 2, 5}) row = verification.next_row(row, token);
    EXPECT_EQ(verification.next_row(row, 3), -1);
    verification.accept(sequence, row);
    verification.end();
    EXPECT_EQ(sequence.kv_length, num_tokens + 3);
    EXPECT_EQ(sequence.lease.num_blocks(), num_blocks_for(num_tokens + 3));
    EXPECT_EQ(pool->num_free(), pool->num_total() - sequence.lease.num_blocks()) << "the other forks are gone";
    // It goes on from there.
    sequence.tokens.insert(sequence.tokens.end(), {1, 2, 5, 11});
    ASSERT_TRUE(pool->try_make_writable(sequence.lease, sequence.kv_length, num_tokens + 4));
    const SequenceRows next{.num_rows = 1, .position_begin = sequence.kv_length, .blocks = sequence.lease.bases()};
    const std::int32_t first = 0;
    const auto after = model.forward(
        lane, {.tokens = std::span(sequence.tokens).last(1), .sequences = {&next, 1}, .logit_rows = {&first, 1}});
    EXPECT_EQ(bits(after), bits(FakeForwardPass::logits_after(sequence.tokens, kFakeVocab)));
  }
}

TEST(VerificationTest, TakesNoMoreThanTheBlocksThatAreFree) {
  FakeForwardPass model(kFakeVocab);
  const auto pool = std::move(KvBlockPool::create(3, model.kv_block_floats())).value();
  Sequence sequence;
  sequence.tokens.assign(31, 1);
  sequence.kv_length = 30;
  ASSERT_TRUE(pool->try_make_writable(sequence.lease, 0, 31));
  DraftTree tree;
  for (int i = 0; i < 4; ++i) tree.add({.token = i, .parent = i - 1, .depth = i + 1, .probability = 0.9 - 0.1 * i});
  tree.add({.token = 5, .probability = 0.2});
  Verification verification;
  verification.begin(*pool, sequence, tree);
  EXPECT_EQ(verification.num_drafts(), 4) << "position 32 takes the last block, and none is left for a fork";
  verification.accept(sequence, 0);
  verification.end();
  EXPECT_EQ(pool->num_free(), 1);
  EXPECT_EQ(sequence.kv_length, 31);
}

}  // namespace
}  // namespace jigsaw
