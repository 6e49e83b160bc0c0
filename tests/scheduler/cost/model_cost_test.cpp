#include "scheduler/cost/model_cost.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "core/philox.h"

namespace jigsaw {
namespace {

ModelCost model() {
  return {.name = "m",
          .decode = {{4, 0.004}, {20, 0.006}, {100, 0.016}},
          .context_token_s = 1e-7,
          .context_from = 100,
          .prefill_token_s = 1e-5,
          .prefill_pass_s = 0.002};
}

TEST(ModelCostTest, PassesAreLinearBetweenThePoints) {
  EXPECT_DOUBLE_EQ(model().decode_s(1, 0), 0.004);
  EXPECT_DOUBLE_EQ(model().decode_s(4, 0), 0.004);
  EXPECT_DOUBLE_EQ(model().decode_s(12, 0), 0.005);
  EXPECT_DOUBLE_EQ(model().decode_s(20, 0), 0.006);
  EXPECT_DOUBLE_EQ(model().decode_s(60, 0), 0.011);
  EXPECT_DOUBLE_EQ(model().decode_s(180, 0), 0.026);  // along the last two
  ModelCost flat{.name = "flat", .decode = {{8, 0.5}}};
  EXPECT_DOUBLE_EQ(flat.decode_s(1, 0), 0.5);
  EXPECT_DOUBLE_EQ(flat.decode_s(100, 0), 0.5);
}

TEST(ModelCostTest, LongContextsCostMore) {
  EXPECT_DOUBLE_EQ(model().decode_s(20, 100), 0.006);
  EXPECT_DOUBLE_EQ(model().decode_s(20, 1100), 0.006 + 20 * 1000 * 1e-7);
}

TEST(ModelCostTest, ARunIsTheSumOfItsPasses) {
  for (const double context : {0.0, 60.5, 99.0, 100.0, 250.25}) {
    double sum = 0;
    for (int pass = 0; pass < 77; ++pass) sum += model().decode_s(33, context + pass);
    EXPECT_NEAR(model().decode_run_s(33, context, 77), sum, 1e-12) << context;
  }
  EXPECT_EQ(model().decode_run_s(33, 5, 0), 0);
}

TEST(ModelCostTest, APrefillIsAPassAndItsTokens) {
  EXPECT_DOUBLE_EQ(model().prefill_s(1000), 0.012);
  EXPECT_EQ(model().prefill_s(0), 0);
}

// Pass by pass over the sequences that are still there.
TEST(DecodeWorkTest, IsWhatPassByPassComesTo) {
  const TokenBins bins{.tail_below = 8, .wide_from = 32};
  std::vector<SequenceLeft> sequences;
  for (std::uint64_t i = 0; i < 40; ++i) {
    sequences.push_back({.context = 20 + 300 * philox_uniform(1, i, 0),
                         .tokens = static_cast<std::int64_t>(400 * philox_uniform(1, i, 1))});
  }
  sequences[7].tokens = 0;
  DecodeWork expected;
  for (std::int64_t pass = 0;; ++pass) {
    double batch = 0, context = 0;
    for (const SequenceLeft& sequence : sequences) {
      if (sequence.tokens <= pass) continue;
      ++batch;
      context += sequence.context + static_cast<double>(pass);
    }
    if (batch == 0) break;
    WorkPart& part = batch >= 32 ? expected.wide : batch >= 8 ? expected.bulk : expected.tail;
    part += {model().decode_s(batch, context / batch), batch};
  }
  const DecodeWork found = decode_work(model(), sequences, bins);
  // The mean context lies on either side of context_from within a run of passes only by rounding.
  EXPECT_NEAR(found.wide.seconds, expected.wide.seconds, 1e-9);
  EXPECT_NEAR(found.bulk.seconds, expected.bulk.seconds, 1e-9);
  EXPECT_NEAR(found.tail.seconds, expected.tail.seconds, 1e-9);
  EXPECT_EQ(found.wide.tokens, expected.wide.tokens);
  EXPECT_EQ(found.bulk.tokens, expected.bulk.tokens);
  EXPECT_EQ(found.tail.tokens, expected.tail.tokens);
  EXPECT_GT(found.wide.tokens, 0);
  EXPECT_NEAR(found.total().seconds, found.wide.seconds + found.bulk.seconds + found.tail.seconds, 1e-12);
  EXPECT_EQ(decode_work(model(), {}, bins).total().seconds, 0);
}

}  // namespace
}  // namespace jigsaw
