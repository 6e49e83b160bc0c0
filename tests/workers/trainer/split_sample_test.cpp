#include "workers/trainer/split_sample.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "core/philox.h"
#include "tests/workers/trainer/tiny_models.h"
#include "workers/trainer/trainer.h"

namespace jigsaw {
namespace {

constexpr int kTokens = 61;

TrainingSample long_sample(int vocab_size) {
  TrainingSample sample;
  sample.reward = 1;
  sample.prompt_length = 20;
  sample.given = {{5, 9}};
  for (std::uint64_t i = 0; i < kTokens; ++i) {
    sample.tokens.push_back(static_cast<std::int32_t>(philox(1, 2, i)[0] % unsigned(vocab_size)));
  }
  for (int i = 0; i < sample.completion_length(); ++i) {
    const auto draw = philox_uniform(2, 3, static_cast<std::uint64_t>(i));
    sample.old_logprobs.push_back(static_cast<float>(-2.5 - 3 * draw));
    sample.ref_logprobs.push_back(static_cast<float>(-3 - draw));
  }
  return sample;
}

std::unique_ptr<Trainer> make_trainer(PolicyWeights& weights, const std::string& algorithm) {
  TrainerOptions options;
  options.algorithm.name = algorithm;
  options.algorithm.beta = algorithm == "grpo" ? 0.1 : 0;
  options.algorithm.max_completion_length = 64;
  options.max_positions = 64;
  auto trainer = Trainer::create(weights, options);
  CHECK_MSG(trainer.ok(), trainer.error().message());
  return std::move(*trainer);
}

class SplitSampleTest : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Trainer, SplitSampleTest, testing::Values("grpo", "dr_grpo", "dapo", "rloo", "gspo", "cispo"),
                         [](const auto& info) { return info.param; });

// The same log-probs to the bit, hence the same loss; the same gradient but for the order of additions.
TEST_P(SplitSampleTest, TrainsWhatASlotDoes) {
  for (const char* model : {"llama", "qwen3_tied"}) {
    SCOPED_TRACE(model);
    const auto weights = tiny_model(model);
    const TrainingSample sample = long_sample(weights->config().vocab_size);
    const std::vector<double> advantages(static_cast<std::size_t>(sample.completion_length()), 0.7);
    const auto trainer = make_trainer(*weights, GetParam());
    Lane lane(2);
    trainer->begin_slot({0, {sample}, {advantages}, 3, 90});
    for (bool has_more = true; has_more;) has_more = trainer->run_quantum(lane).value();
    const SlotResult expected = trainer->slot_result();

    auto begun = trainer->begin_split({.name = "sample 0",
                                       .sample = sample,
                                       .advantages = advantages,
                                       .num_samples_total = 3,
                                       .num_tokens_total = 90,
                                       .chunk_begins = {0, 15, 30, 45, 60},
                                       .pairs = {0, 1}});
    ASSERT_TRUE(begun.ok()) << begun.error().message();
    SplitSample& split = **begun;
    while (!split.done()) {
      ASSERT_TRUE(split.runnable());
      ASSERT_TRUE(split.run_quantum(lane).ok());
    }
    EXPECT_EQ(split.result().loss, expected.loss);
    EXPECT_EQ(split.result().entropy_sum, expected.entropy_sum);
    EXPECT_EQ(split.result().kl_sum, expected.kl_sum);
    EXPECT_EQ(split.result().clipped_tokens, expected.clipped_tokens);
    EXPECT_EQ(split.result().num_tokens, expected.num_tokens);
    const AlignedFloats first = split.take_gradient(0), second = split.take_gradient(1);
    const std::span<const float> whole = trainer->slot_gradient();
    float largest = 0;
    for (const float value : whole) largest = std::max(largest, std::abs(value));
    EXPECT_GT(largest, 0);
    for (std::size_t i = 0; i < whole.size(); ++i) {
      ASSERT_NEAR(first.data()[i] + second.data()[i], whole[i], 2e-5 * largest) << i;
    }
  }
}

TEST(SplitSampleErrorsTest, ABadSampleAndABadLossAreErrorsWithTheirName) {
  const auto weights = tiny_model("llama");
  const auto trainer = make_trainer(*weights, "grpo");
  SplitBatch batch{.name = "sample 4 of the update",
                   .sample = long_sample(weights->config().vocab_size),
                   .advantages = {},
                   .num_samples_total = 1,
                   .num_tokens_total = 40,
                   .chunk_begins = {0, 30, 60},
                   .pairs = {0}};
  batch.advantages.assign(static_cast<std::size_t>(batch.sample.completion_length()), 1.0);
  SplitBatch foreign = batch;
  foreign.sample.tokens[3] = 1 << 20;
  EXPECT_THAT(trainer->begin_split(foreign).error().message(), testing::HasSubstr("sample 4 of the update"));
  SplitBatch far = batch;
  far.sample.ref_logprobs[2] = 1e6f;
  auto split = trainer->begin_split(far);
  ASSERT_TRUE(split.ok());
  Lane lane(1);
  Status status = ok_status();
  while (status.ok() && !(*split)->done()) status = (*split)->run_quantum(lane);
  ASSERT_FALSE(status.ok());
  EXPECT_THAT(status.error().message(), testing::HasSubstr("sample 4 of the update: the loss is"));
}

}  // namespace
}  // namespace jigsaw
