#include "workers/trainer/trainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "core/philox.h"
#include "rollout/kernels/kernels.h"
#include "rollout/models/transformer.h"
#include "tests/workers/trainer/temporary_folder.h"
#include "tests/workers/trainer/tiny_models.h"
#include "workers/trainer/slot_tree.h"

namespace jigsaw {
namespace {

using testing::HasSubstr;

// Sixteen samples in groups of four, of lengths 2 to about 40.
std::vector<TrainingSample> random_samples(int vocab_size, std::uint64_t seed = 1) {
  std::vector<TrainingSample> samples;
  for (std::uint64_t i = 0; i < 16; ++i) {
    TrainingSample sample;
    sample.group = static_cast<std::int64_t>(i / 4);
    sample.reward = philox_uniform(seed, 1, i);
    sample.prompt_length = 1 + static_cast<int>(philox(seed, 2, i)[0] % 12);
    const int length = sample.prompt_length + 1 + static_cast<int>(philox(seed, 3, i)[0] % 28);
    for (int t = 0; t < length; ++t) {
      sample.tokens.push_back(
          static_cast<std::int32_t>(philox(seed, 4 + i, static_cast<std::uint64_t>(t))[0] % unsigned(vocab_size)));
    }
    samples.push_back(std::move(sample));
  }
  return samples;
}

// Nothing in it to score.
TrainingSample prompt_only() {
  TrainingSample sample;
  sample.tokens = {1, 2};
  sample.prompt_length = 2;
  return sample;
}

TrainerOptions small_options() {
  TrainerOptions options;
  options.max_positions = 64;
  options.micro_batch_tokens = 50;
  options.optimizer.lr = 1e-3;
  return options;
}

std::unique_ptr<Trainer> make_trainer(PolicyWeights& weights, const TrainerOptions& options = small_options()) {
  auto trainer = Trainer::create(weights, options);
  CHECK_MSG(trainer.ok(), trainer.error().message());
  return std::move(*trainer);
}

// Samples dealt out to slots in consecutive runs.
std::vector<SlotBatch> make_slots(const AlgorithmConfig& config, const std::vector<TrainingSample>& samples,
                                  int num_slots) {
  const BatchAdvantages advantages = *compute_advantages(config, samples);
  std::vector<SlotBatch> slots;
  for (int slot = 0; slot < num_slots; ++slot) {
    SlotBatch& batch = slots.emplace_back();
    batch.slot = slot;
    batch.num_samples_total = advantages.num_samples;
    batch.num_tokens_total = advantages.num_tokens;
    const std::size_t count = samples.size();
    for (std::size_t i = count * unsigned(slot) / unsigned(num_slots);
         i < count * unsigned(slot + 1) / unsigned(num_slots); ++i) {
      batch.samples.push_back(samples[i]);
      batch.advantages.push_back(advantages.per_token[i]);
    }
  }
  return slots;
}

Status run_slot(Trainer& trainer, Lane& lane, SlotBatch batch) {
  trainer.begin_slot(std::move(batch));
  for (bool has_more = true; has_more;) {
    JIGSAW_ASSIGN_OR_RETURN(has_more, trainer.run_quantum(lane));
  }
  return ok_status();
}

std::vector<float> slot_gradient_of(Trainer& trainer, Lane& lane, SlotBatch batch) {
  const Status status = run_slot(trainer, lane, std::move(batch));
  CHECK_MSG(status.ok(), status.error().message());
  const std::span<const float> gradient = trainer.slot_gradient();
  return {gradient.begin(), gradient.end()};
}

std::vector<float> sum_by_tree(std::vector<std::vector<float>> gradients) {
  std::vector<std::span<float>> spans(gradients.begin(), gradients.end());
  Lane lane(1);
  sum_slots(lane, spans);
  return gradients[0];
}

// Log-probs as rollout computes them: the prompt in one prefill, then token by token.
std::vector<float> decoded_logprobs(const PolicyWeights& weights, const TrainingSample& sample) {
  Lane lane(1);
  Transformer transformer(weights, 64);
  const auto vocab = static_cast<std::size_t>(weights.config().vocab_size);
  std::vector<AlignedFloats> memory;
  std::vector<float*> blocks;
  for (std::size_t block = 0; block <= sample.tokens.size() / 16; ++block) {
    memory.emplace_back(transformer.kv_block_floats());
    blocks.push_back(memory.back().data());
  }
  std::vector<float> logprobs;
  int position = 0;
  for (std::size_t next = static_cast<std::size_t>(sample.prompt_length); next < sample.tokens.size(); ++next) {
    const int num_rows = static_cast<int>(next) - position;
    const SequenceRows rows{num_rows, position, blocks};
    const std::int32_t last_row = num_rows - 1;
    const std::span tokens = std::span(sample.tokens).subspan(static_cast<std::size_t>(position), unsigned(num_rows));
    const std::span<const float> logits = transformer.forward(lane, {tokens, {&rows, 1}, {&last_row, 1}});
    kernels::LogSoftmaxStats stats;
    kernels::log_softmax_stats(lane, 1, static_cast<int>(vocab), logits.data(), static_cast<std::ptrdiff_t>(vocab),
                               &stats);
    logprobs.push_back(kernels::log_prob_of(logits[static_cast<std::size_t>(sample.tokens[next])], stats));
    position += num_rows;
  }
  return logprobs;
}

class TrainerModels : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Trainer, TrainerModels, testing::Values("llama", "qwen3_tied"),
                         [](const auto& info) { return info.param; });

TEST_P(TrainerModels, LogprobsEqualTheRolloutsToTheBit) {
  const auto weights = tiny_model(GetParam());
  const auto trainer = make_trainer(*weights);
  std::vector<TrainingSample> samples = random_samples(weights->config().vocab_size);
  for (TrainingSample& sample : samples) sample.ref_logprobs = decoded_logprobs(*weights, sample);
  Lane lane(2);
  const auto scores = trainer->score(lane, samples, nullptr);
  ASSERT_TRUE(scores.ok());
  for (std::size_t i = 0; i < samples.size(); ++i) EXPECT_EQ((*scores)[i], samples[i].ref_logprobs) << i;
  // And those of the training forward: their KL to the rollout's is 0 exactly, which only equal bits give.
  for (SlotBatch& slot : make_slots(AlgorithmConfig{}, samples, 4)) {
    ASSERT_TRUE(run_slot(*trainer, lane, std::move(slot)).ok());
    EXPECT_EQ(trainer->slot_result().kl_sum, 0);
    EXPECT_GT(trainer->slot_result().entropy_sum, 0);
  }
}

TEST_P(TrainerModels, WhoComputesASlotDoesNotChangeABit) {
  for (const std::string name : {"grpo", "gspo", "rloo", "cispo"}) {
    TrainerOptions options = small_options();
    options.algorithm.name = name;
    const auto weights = tiny_model(GetParam());
    const std::vector<TrainingSample> samples = random_samples(weights->config().vocab_size);
    const std::vector<SlotBatch> slots = make_slots(options.algorithm, samples, 8);

    // One worker of two threads computes all slots in order.
    std::vector<std::vector<float>> of_one(8);
    double loss_of_one = 0;
    {
      const auto trainer = make_trainer(*weights, options);
      Lane lane(2);
      for (std::size_t slot = 0; slot < 8; ++slot) {
        of_one[slot] = slot_gradient_of(*trainer, lane, slots[slot]);
        loss_of_one += trainer->slot_result().loss;
      }
    }
    // Three single-threaded workers with their own copies of the weights, each its slots in some order.
    std::vector<std::vector<float>> of_three(8);
    std::vector<double> losses(8);
    for (const std::vector<std::size_t>& own : {std::vector<std::size_t>{5, 0}, {7, 3, 1}, {2, 6, 4}}) {
      const auto copy = tiny_model(GetParam());
      const auto trainer = make_trainer(*copy, options);
      Lane lane(1);
      for (const std::size_t slot : own) {
        of_three[slot] = slot_gradient_of(*trainer, lane, slots[slot]);
        losses[slot] = trainer->slot_result().loss;
      }
    }
    EXPECT_EQ(sum_by_tree(of_one), sum_by_tree(of_three)) << name;
    double loss_of_three = 0;
    for (const double loss : losses) loss_of_three += loss;
    EXPECT_EQ(loss_of_one, loss_of_three) << name;
  }
}

TEST_P(TrainerModels, RecomputationDoesNotChangeABit) {
  const auto weights = tiny_model(GetParam());
  TrainerOptions options = small_options();
  const auto slots = make_slots(options.algorithm, random_samples(weights->config().vocab_size), 2);
  Lane lane(2);
  const auto kept = slot_gradient_of(*make_trainer(*weights, options), lane, slots[0]);
  options.recompute_activations = true;
  EXPECT_EQ(slot_gradient_of(*make_trainer(*weights, options), lane, slots[0]), kept);
}

TEST_P(TrainerModels, SlotsAndPacksAddUpToTheWholeBatch) {
  const auto weights = tiny_model(GetParam());
  const std::vector<TrainingSample> samples = random_samples(weights->config().vocab_size);
  Lane lane(2);
  for (const std::string name : {"grpo", "dapo", "gspo"}) {
    TrainerOptions options = small_options();
    options.algorithm.name = name;
    options.micro_batch_tokens = 100000;
    const auto whole = make_trainer(*weights, options);
    const auto expected = slot_gradient_of(*whole, lane, make_slots(options.algorithm, samples, 1)[0]);

    options.micro_batch_tokens = 30;
    const auto trainer = make_trainer(*weights, options);
    std::vector<std::vector<float>> gradients;
    SlotResult sum;
    for (SlotBatch& slot : make_slots(options.algorithm, samples, 5)) {
      gradients.push_back(slot_gradient_of(*trainer, lane, std::move(slot)));
      sum.loss += trainer->slot_result().loss;
      sum.entropy_sum += trainer->slot_result().entropy_sum;
      sum.num_tokens += trainer->slot_result().num_tokens;
    }
    const auto actual = sum_by_tree(gradients);
    const float largest = *std::ranges::max_element(expected, {}, [](float x) { return std::abs(x); });
    for (std::size_t i = 0; i < expected.size(); ++i) {
      ASSERT_NEAR(actual[i], expected[i], 1e-5 * std::abs(largest)) << name << " " << i;
    }
    EXPECT_NEAR(sum.loss, whole->slot_result().loss, 1e-12);
    EXPECT_NEAR(sum.entropy_sum, whole->slot_result().entropy_sum, 1e-9);
    EXPECT_EQ(sum.num_tokens, whole->slot_result().num_tokens);
  }
}

// A directional derivative through the whole of it: weights -> log-probs -> loss, against a small step of the weights.
TEST_P(TrainerModels, GradientPredictsTheChangeOfTheLoss) {
  const auto weights = tiny_model(GetParam());
  TrainerOptions options = small_options();
  options.algorithm.beta = 0.1;
  options.algorithm.name = "dapo";
  std::vector<TrainingSample> samples = random_samples(weights->config().vocab_size);
  Lane lane(2);
  const auto trainer = make_trainer(*weights, options);
  const auto scores = *trainer->score(lane, samples, nullptr);
  for (std::size_t i = 0; i < samples.size(); ++i) {
    samples[i].old_logprobs = scores[i];
    samples[i].ref_logprobs = scores[i];
    for (float& value : samples[i].ref_logprobs) value -= 0.3f;
  }
  const SlotBatch slot = make_slots(options.algorithm, samples, 1)[0];
  const std::vector<float> gradient = slot_gradient_of(*trainer, lane, slot);
  double squares = 0;
  for (const float g : gradient) squares += static_cast<double>(g) * g;
  const double step = 2e-3 / std::sqrt(squares);
  const auto loss_at = [&](double distance) {
    for (std::size_t i = 0; i < gradient.size(); ++i) {
      weights->mutable_floats()[i] += static_cast<float>(distance * gradient[i]);
    }
    CHECK(run_slot(*trainer, lane, slot).ok());
    for (std::size_t i = 0; i < gradient.size(); ++i) {
      weights->mutable_floats()[i] -= static_cast<float>(distance * gradient[i]);
    }
    return trainer->slot_result().loss;
  };
  const double slope = (loss_at(step) - loss_at(-step)) / (2 * step);
  EXPECT_NEAR(slope / squares, 1, 2e-3);
}

TEST(TrainerTest, UpdatesRaiseTheLogprobOfWhatWasRewarded) {
  const auto weights = tiny_model("llama");
  TrainerOptions options = small_options();
  options.optimizer.lr = 3e-3;
  const auto trainer = make_trainer(*weights, options);
  std::vector<TrainingSample> samples = random_samples(weights->config().vocab_size);
  Lane lane(2);
  const auto before = *trainer->score(lane, samples, nullptr);
  std::string hash = weights->hash();
  for (int step = 1; step <= 5; ++step) {
    ASSERT_TRUE(run_slot(*trainer, lane, make_slots(options.algorithm, samples, 1)[0]).ok());
    const auto update = trainer->apply_update(lane, trainer->slot_gradient());
    ASSERT_TRUE(update.ok());
    EXPECT_EQ(trainer->version(), step);
    EXPECT_EQ(update->weights_hash, weights->hash());
    EXPECT_NE(update->weights_hash, hash);
    EXPECT_GT(update->grad_norm, 0);
    hash = update->weights_hash;
  }
  const auto after = *trainer->score(lane, samples, nullptr);
  const auto advantages = *compute_advantages(options.algorithm, samples);
  double gain = 0;
  for (std::size_t i = 0; i < samples.size(); ++i) {
    for (std::size_t t = 0; t < after[i].size(); ++t) {
      gain += (after[i][t] - before[i][t]) * advantages.per_token[i][t] / static_cast<double>(after[i].size());
    }
  }
  EXPECT_GT(gain, 0.5);
}

TEST(TrainerTest, AResumedTrainerContinuesToTheBit) {
  const TemporaryFolder folder;
  Lane lane(2);
  TrainerOptions options = small_options();
  options.optimizer.schedule = "cosine";
  options.optimizer.warmup_steps = 1;
  options.optimizer.total_steps = 4;
  const auto samples = random_samples(37);
  const auto slot = make_slots(options.algorithm, samples, 1)[0];
  const auto one_step = [&](Trainer& trainer) {
    CHECK(run_slot(trainer, lane, slot).ok());
    return *trainer.apply_update(lane, trainer.slot_gradient());
  };

  const auto weights = tiny_model("llama");
  const auto trainer = make_trainer(*weights, options);
  one_step(*trainer);
  one_step(*trainer);
  PolicyWeights resumed_weights(weights->config());
  std::ranges::copy(weights->floats(), resumed_weights.mutable_floats().begin());
  ASSERT_TRUE(trainer->save_optimizer(folder / "optimizer.safetensors").ok());
  const auto resumed = make_trainer(resumed_weights, options);
  ASSERT_TRUE(resumed->load_optimizer(folder / "optimizer.safetensors").ok());
  EXPECT_EQ(resumed->version(), 2);
  for (int step = 3; step <= 4; ++step) {
    const UpdateStats expected = one_step(*trainer), actual = one_step(*resumed);
    EXPECT_EQ(actual.weights_hash, expected.weights_hash);
    EXPECT_EQ(actual.lr, expected.lr);
    EXPECT_EQ(actual.grad_norm, expected.grad_norm);
  }
}

TEST(TrainerTest, AnUpdateOfWeightsReadInBf16IsSeenByPassesAndContinuesToTheBit) {
  const TemporaryFolder folder;
  Lane lane(2);
  const TrainerOptions options = small_options();
  const auto samples = random_samples(37);
  const auto slot = make_slots(options.algorithm, samples, 1)[0];
  const auto one_step = [&](Trainer& trainer) {
    CHECK(run_slot(trainer, lane, slot).ok());
    return *trainer.apply_update(lane, trainer.slot_gradient());
  };
  const auto weights = tiny_model("llama");
  weights->set_format(WeightFormat::kBf16, lane);
  const auto trainer = make_trainer(*weights, options);
  const auto before = *trainer->score(lane, samples, nullptr);
  const UpdateStats first = one_step(*trainer);
  EXPECT_EQ(first.weights_hash, weights->hash());
  const auto after = *trainer->score(lane, samples, nullptr);
  for (std::size_t i = 0; i < samples.size(); ++i) {
    EXPECT_NE(after[i], before[i]);
    EXPECT_EQ(after[i], decoded_logprobs(*weights, samples[i]));
  }

  PolicyWeights resumed_weights(weights->config());
  std::ranges::copy(weights->floats(), resumed_weights.mutable_floats().begin());
  resumed_weights.set_format(WeightFormat::kBf16, lane);
  ASSERT_TRUE(trainer->save_optimizer(folder / "optimizer.safetensors").ok());
  const auto resumed = make_trainer(resumed_weights, options);
  ASSERT_TRUE(resumed->load_optimizer(folder / "optimizer.safetensors").ok());
  EXPECT_EQ(one_step(*resumed).weights_hash, one_step(*trainer).weights_hash);
}

TEST(TrainerTest, ScoresUnderReferenceWeights) {
  const auto weights = tiny_model("llama");
  PolicyWeights reference(weights->config());
  initialize_weights(reference, 5);
  const auto trainer = make_trainer(*weights);
  Lane lane(2);
  std::vector<TrainingSample> samples = random_samples(37);
  samples.insert(samples.begin(), prompt_only());
  const auto scores = *trainer->score(lane, samples, &reference);
  EXPECT_TRUE(scores[0].empty());
  for (std::size_t i = 1; i < samples.size(); ++i) EXPECT_EQ(scores[i], decoded_logprobs(reference, samples[i]));
}

TEST(TrainerTest, ASlotWithNothingToTrainIsDoneAtOnce) {
  const auto weights = tiny_model("llama");
  const auto trainer = make_trainer(*weights);
  Lane lane(1);
  SlotBatch batch;
  batch.samples = {prompt_only()};
  batch.advantages = {{}};
  batch.num_samples_total = 2;
  batch.num_tokens_total = 5;
  trainer->begin_slot(batch);
  const auto has_more = trainer->run_quantum(lane);
  ASSERT_TRUE(has_more.ok());
  EXPECT_FALSE(*has_more);
  EXPECT_EQ(trainer->slot_result().loss, 0);
  EXPECT_TRUE(std::ranges::all_of(trainer->slot_gradient(), [](float g) { return g == 0; }));
}

TEST(TrainerTest, BeginSlotForgetsTheLastOne) {
  const auto weights = tiny_model("llama");
  const auto trainer = make_trainer(*weights);
  Lane lane(2);
  const auto slots = make_slots(AlgorithmConfig{}, random_samples(37), 4);
  const auto alone = slot_gradient_of(*trainer, lane, slots[2]);
  trainer->begin_slot(slots[0]);
  ASSERT_TRUE(*trainer->run_quantum(lane));  // left half-way
  EXPECT_EQ(slot_gradient_of(*trainer, lane, slots[2]), alone);
}

TEST(TrainerTest, ABadSampleIsAnErrorThatNamesIt) {
  const auto weights = tiny_model("llama");
  const auto trainer = make_trainer(*weights);
  Lane lane(1);
  auto slots = make_slots(AlgorithmConfig{}, random_samples(37), 2);
  slots[1].samples[3].tokens[0] = 37;
  EXPECT_THAT(run_slot(*trainer, lane, slots[1]).error().message(), HasSubstr("gradient slot 1, sample 3: token 37"));
  EXPECT_TRUE(run_slot(*trainer, lane, slots[0]).ok());  // and the next slot is not hurt
  std::vector<TrainingSample> samples = random_samples(37);
  samples[2].prompt_length = 0;
  EXPECT_THAT(trainer->score(lane, samples, nullptr).error().message(), HasSubstr("sample 2"));
}

TEST(TrainerTest, BadOptionsAreRefused) {
  const auto weights = tiny_model("llama");
  TrainerOptions options = small_options();
  options.algorithm.name = "pposs";
  EXPECT_FALSE(Trainer::create(*weights, options).ok());
  options = small_options();
  options.optimizer.schedule = "step";
  EXPECT_FALSE(Trainer::create(*weights, options).ok());
  options = small_options();
  options.micro_batch_tokens = 0;
  EXPECT_THAT(Trainer::create(*weights, options).error().message(), HasSubstr("micro_batch_tokens"));
  options = small_options();
  options.max_positions = 0;
  EXPECT_THAT(Trainer::create(*weights, options).error().message(), HasSubstr("max_positions"));
}

TEST(TrainerTest, TellsTheLedgerItsBytes) {
  const auto weights = tiny_model("llama");
  TrainerOptions options = small_options();
  const auto trainer = make_trainer(*weights, options);
  EXPECT_EQ(trainer->state_bytes(), 3 * 4 * weights->layout().num_floats());
  options.recompute_activations = true;
  EXPECT_LT(make_trainer(*weights, options)->activation_bytes(), trainer->activation_bytes());
}

}  // namespace
}  // namespace jigsaw
