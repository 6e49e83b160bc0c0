// Rollout's forward pass: equal bits however a sequence is cut, batched, threaded or vectorised.
#include "rollout/models/transformer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/rollout/models/model_testing.h"

namespace jigsaw {
namespace {

using testing::bits;
using testing::KvBlocks;
using testing::logits_in_chunks;
using testing::random_tokens;
using testing::small_model;

constexpr int kMaxPositions = 96;

class TransformerTest : public ::testing::TestWithParam<std::string> {
 protected:
  std::unique_ptr<PolicyWeights> weights_ = small_model(GetParam());
  Transformer transformer_{*weights_, kMaxPositions};
  Lane lane_{1};
  std::size_t vocab_ = static_cast<std::size_t>(weights_->config().vocab_size);
};
INSTANTIATE_TEST_SUITE_P(Families, TransformerTest, ::testing::ValuesIn(testing::small_model_names()),
                         [](const auto& info) { return info.param; });

TEST_P(TransformerTest, AnySplitOfAPromptGivesTheSameBits) {
  const auto tokens = random_tokens(67, weights_->config().vocab_size, 3);
  const auto whole = bits(logits_in_chunks(transformer_, lane_, tokens, {67}));
  EXPECT_EQ(bits(logits_in_chunks(transformer_, lane_, tokens, {1})), whole) << "decoded one by one";
  EXPECT_EQ(bits(logits_in_chunks(transformer_, lane_, tokens, {16})), whole) << "cut at block ends";
  EXPECT_EQ(bits(logits_in_chunks(transformer_, lane_, tokens, {5, 30, 1, 13, 7})), whole);
  EXPECT_EQ(bits(logits_in_chunks(transformer_, lane_, tokens, {66, 1})), whole);
}

// Sequences at different stages in one batch: a prefill chunk, decode rows, a whole prompt.
TEST_P(TransformerTest, ARowDoesNotDependOnTheOthersOfItsBatch) {
  const int vocab = weights_->config().vocab_size;
  const std::vector<std::vector<std::int32_t>> sequences = {random_tokens(40, vocab, 1), random_tokens(18, vocab, 2),
                                                            random_tokens(33, vocab, 3), random_tokens(17, vocab, 4)};
  const std::vector<int> already = {0, 17, 21, 16};  // tokens prefilled before the mixed batch
  std::vector<KvBlocks> kv;
  std::vector<std::int32_t> tokens, last_rows;
  std::vector<SequenceRows> rows;
  for (std::size_t i = 0; i < sequences.size(); ++i) {
    kv.emplace_back(transformer_, static_cast<int>(sequences[i].size()));
    const std::span<const std::int32_t> all(sequences[i]);
    const auto begin = static_cast<std::size_t>(already[i]);
    const SequenceRows before{already[i], 0, kv[i].blocks()};
    EXPECT_TRUE(transformer_.forward(lane_, {all.first(begin), {&before, 1}, {}}).empty());
    rows.push_back({static_cast<int>(all.size() - begin), already[i], kv[i].blocks()});
    tokens.insert(tokens.end(), all.begin() + already[i], all.end());
    last_rows.push_back(static_cast<std::int32_t>(tokens.size()) - 1);
  }
  const auto mixed = transformer_.forward(lane_, {tokens, rows, last_rows});
  ASSERT_EQ(mixed.size(), sequences.size() * vocab_);
  Transformer alone(*weights_, kMaxPositions);
  for (std::size_t i = 0; i < sequences.size(); ++i) {
    const auto expected = logits_in_chunks(alone, lane_, sequences[i], {64});
    EXPECT_EQ(bits(mixed.subspan(i * vocab_, vocab_)), bits(std::span(expected).last(vocab_))) << "sequence " << i;
  }
}

TEST_P(TransformerTest, SequencesMayShareTheBlocksOfTheirPrefix) {
  const int vocab = weights_->config().vocab_size;
  const auto prefix = random_tokens(32, vocab, 5);
  const KvBlocks shared(transformer_, 32);
  const KvBlocks own_a(transformer_, 16), own_b(transformer_, 16);
  const SequenceRows prefill{32, 0, shared.blocks()};
  transformer_.forward(lane_, {prefix, {&prefill, 1}, {}});

  std::vector<std::int32_t> tokens;
  std::vector<std::vector<float*>> blocks;
  std::vector<SequenceRows> rows;
  for (const KvBlocks* own : {&own_a, &own_b}) {
    blocks.emplace_back(shared.blocks().begin(), shared.blocks().end()).push_back(own->blocks()[0]);
    const auto suffix = random_tokens(4, vocab, blocks.size());
    tokens.insert(tokens.end(), suffix.begin(), suffix.end());
  }
  for (const auto& list : blocks) rows.push_back({4, 32, list});
  const std::vector<std::int32_t> wanted = {3, 7};
  const auto together = transformer_.forward(lane_, {tokens, rows, wanted});

  Transformer alone(*weights_, kMaxPositions);
  for (std::size_t i = 0; i < 2; ++i) {
    auto sequence = prefix;
    sequence.insert(sequence.end(), tokens.begin() + static_cast<int>(4 * i),
                    tokens.begin() + static_cast<int>(4 * i + 4));
    const auto expected = logits_in_chunks(alone, lane_, sequence, {36});
    EXPECT_EQ(bits(together.subspan(i * vocab_, vocab_)), bits(std::span(expected).last(vocab_)));
  }
}

// A chain of 5 rows over a block's end, a fork after its second row, and one of the fork after its first; then each
// goes on.
TEST_P(TransformerTest, ForksSeeTheirOwnPath) {
  const int vocab = weights_->config().vocab_size;
  const auto prefix = random_tokens(14, vocab, 5);
  const std::vector<std::vector<std::int32_t>> own = {random_tokens(5, vocab, 6), random_tokens(3, vocab, 7),
                                                      random_tokens(2, vocab, 8)};
  const std::vector<int> begins = {14, 16, 17};
  std::vector<std::vector<std::int32_t>> paths(3, prefix);
  for (std::size_t i = 0; i < 3; ++i) {
    if (i > 0) paths[i].assign(paths[i - 1].begin(), paths[i - 1].begin() + begins[i]);
    paths[i].insert(paths[i].end(), own[i].begin(), own[i].end());
  }

  std::vector<KvBlocks> kv;
  std::vector<std::int32_t> tokens, wanted;
  std::vector<SequenceRows> rows;
  for (std::size_t i = 0; i < 3; ++i) {
    kv.emplace_back(transformer_, 32);
    const SequenceRows before{14, 0, kv[i].blocks()};
    transformer_.forward(lane_, {prefix, {&before, 1}, {}});
    tokens.insert(tokens.end(), own[i].begin(), own[i].end());
    rows.push_back({static_cast<int>(own[i].size()), begins[i], kv[i].blocks(), static_cast<int>(i) - 1});
  }
  for (std::int32_t row = 0; row < 10; ++row) wanted.push_back(row);
  const auto logits = transformer_.forward(lane_, {tokens, rows, wanted});
  Transformer alone(*weights_, kMaxPositions);
  std::size_t row = 0;
  for (std::size_t i = 0; i < 3; ++i) {
    const auto expected = logits_in_chunks(alone, lane_, paths[i], {64});
    const std::size_t count = own[i].size() * vocab_;
    EXPECT_EQ(bits(logits.subspan(row * vocab_, count)), bits(std::span(expected).last(count))) << "branch " << i;
    row += own[i].size();
  }
  for (std::size_t i = 0; i < 3; ++i) {
    const std::vector<std::int32_t> next = {7}, first = {0};
    const SequenceRows after{1, static_cast<int>(paths[i].size()), kv[i].blocks()};
    const auto continued = bits(transformer_.forward(lane_, {next, {&after, 1}, first}));
    paths[i].push_back(7);
    const auto expected = logits_in_chunks(alone, lane_, paths[i], {64});
    EXPECT_EQ(continued, bits(std::span(expected).last(vocab_))) << "branch " << i;
  }
}

TEST_P(TransformerTest, ThreadsDoNotChangeABit) {
  const auto tokens = random_tokens(90, weights_->config().vocab_size, 6);
  const auto expected = bits(logits_in_chunks(transformer_, lane_, tokens, {90}));
  for (const int num_threads : {2, 3}) {
    Lane lane(num_threads);
    EXPECT_EQ(bits(logits_in_chunks(transformer_, lane, tokens, {50, 3, 40})), expected) << num_threads << " threads";
  }
}

TEST_P(TransformerTest, KernelVariantsGiveTheSameBits) {
  testing::KernelVariants variants;
  const auto tokens = random_tokens(45, weights_->config().vocab_size, 7);
  const auto expected = bits(logits_in_chunks(transformer_, lane_, tokens, {40, 1}));
  const auto names = variants.available();
  ASSERT_THAT(names, ::testing::Contains("portable"));
  for (const std::string& name : names) {
    ASSERT_TRUE(kernels::select_variant(name));
    EXPECT_EQ(bits(logits_in_chunks(transformer_, lane_, tokens, {40, 1})), expected) << name;
  }
}

TEST_P(TransformerTest, LogitsComeForTheWantedRowsOnly) {
  const auto tokens = random_tokens(20, weights_->config().vocab_size, 8);
  const auto all = logits_in_chunks(transformer_, lane_, tokens, {20});
  const KvBlocks kv(transformer_, 20);
  const SequenceRows rows{20, 0, kv.blocks()};
  const std::vector<std::int32_t> wanted = {0, 7, 19};
  const auto logits = transformer_.forward(lane_, {tokens, {&rows, 1}, wanted});
  ASSERT_EQ(logits.size(), 3 * vocab_);
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    EXPECT_EQ(bits(logits.subspan(i * vocab_, vocab_)),
              bits(std::span(all).subspan(static_cast<std::size_t>(wanted[i]) * vocab_, vocab_)));
  }
}

TEST(TransformerDeathTest, RowsOutOfBoundsAreOurBugAndEndTheProcess) {
  const auto weights = small_model("llama");
  Transformer transformer(*weights, 32);
  Lane lane(1);
  const KvBlocks kv(transformer, 16);
  const std::vector<std::int32_t> tokens = {1, 2}, outside = {1, 83};
  const SequenceRows past_end{2, 31, kv.blocks()}, no_block{2, 15, kv.blocks()}, good{2, 0, kv.blocks()};
  EXPECT_DEATH(transformer.forward(lane, {tokens, {&past_end, 1}, {}}), "past position 32");
  EXPECT_DEATH(transformer.forward(lane, {tokens, {&no_block, 1}, {}}), "KV blocks");
  EXPECT_DEATH(transformer.forward(lane, {outside, {&good, 1}, {}}), "token");
}

}  // namespace
}  // namespace jigsaw
