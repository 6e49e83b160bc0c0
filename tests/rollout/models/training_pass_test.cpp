// The trainer's forward and backward: log-probs equal to rollout's, gradients equal to finite differences, and bits
// that nothing but the sequences can change.
#include "rollout/models/training_pass.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/philox.h"
#include "rollout/models/training_pack.h"
#include "tests/rollout/models/model_testing.h"

namespace jigsaw {
namespace {

using testing::bits;
using testing::random_floats;
using testing::random_tokens;
using testing::small_model;

constexpr int kMaxPositions = 96;

// Length, prompt length, and whether the prompt is that of the one before; one has no completion.
struct Shape {
  int length, prompt;
  bool same_prompt = false;
};
const std::vector<Shape> kApart = {{37, 5}, {20, 19}, {6, 6}, {64, 17}, {2, 1}, {50, 33}};
const std::vector<Shape> kGroups = {{40, 17},     {17, 17, true}, {18, 17, true}, {64, 17, true}, {9, 5},      {2, 1},
                                    {7, 1, true}, {50, 33},       {90, 33, true}, {20, 2},        {3, 2, true}};

struct Batch {
  explicit Batch(int vocab, const std::vector<Shape>& shapes, std::uint64_t seed = 0) {
    for (const Shape& shape : shapes) {
      std::vector<std::int32_t> its_tokens = random_tokens(shape.length, vocab, philox_key(seed, 1, tokens.size()));
      if (shape.same_prompt) std::copy_n(tokens.back().begin(), shape.prompt, its_tokens.begin());
      tokens.push_back(std::move(its_tokens));
      prompts.push_back(shape.prompt);
    }
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      sequences.push_back({tokens[i], prompts[i]});
      num_logprobs += tokens[i].size() - static_cast<std::size_t>(prompts[i]);
    }
    dlogp = random_floats(num_logprobs, philox_key(seed, 2, 0));
  }
  std::vector<std::vector<std::int32_t>> tokens;
  std::vector<int> prompts;
  std::vector<ScoredSequence> sequences;
  std::size_t num_logprobs = 0;
  std::vector<float> dlogp;
};

// How far two gradients of a parameter are apart, as a part of the second.
double relative_difference(const Parameter& parameter, std::span<const float> a, std::span<const float> b) {
  double difference = 0, norm = 0;
  for (std::size_t i = parameter.offset; i < parameter.offset + parameter.size; ++i) {
    difference += std::pow(double{a[i]} - b[i], 2);
    norm += std::pow(double{b[i]}, 2);
  }
  return std::sqrt(difference / norm);  // not a number, and below nothing, where the second is nothing
}

class TrainingPassTest : public ::testing::TestWithParam<std::string> {
 protected:
  // The gradient of the batch's sequences one by one, each a pass of its own.
  std::vector<float> gradient_one_by_one(TrainingPass& pass, const Batch& batch) {
    std::vector<float> gradients(weights_->layout().num_floats());
    std::size_t first = 0;
    for (const ScoredSequence& sequence : batch.sequences) {
      const std::size_t count = pass.forward(lane_, {&sequence, 1}, {}).size();
      pass.backward(lane_, std::span(batch.dlogp).subspan(first, count), gradients);
      first += count;
    }
    return gradients;
  }
  std::vector<float> gradient(TrainingPass& pass, Lane& lane, const Batch& batch) {
    std::vector<float> gradients(weights_->layout().num_floats());
    pass.forward(lane, batch.sequences, {});
    pass.backward(lane, batch.dlogp, gradients);
    return gradients;
  }
  std::unique_ptr<PolicyWeights> weights_ = small_model(GetParam());
  const int vocab_ = weights_->config().vocab_size;
  Batch batch_{vocab_, kApart}, groups_{vocab_, kGroups};
  Lane lane_{1};
};
INSTANTIATE_TEST_SUITE_P(Families, TrainingPassTest, ::testing::ValuesIn(testing::small_model_names()),
                         [](const auto& info) { return info.param; });

TEST_P(TrainingPassTest, LogProbsAreThoseOfRolloutBitForBit) {
  TrainingPass pass(*weights_, kMaxPositions, false);
  Transformer transformer(*weights_, kMaxPositions);
  for (const Batch* batch : {&batch_, &groups_}) {
    std::vector<float> decoded;
    for (const ScoredSequence& sequence : batch->sequences) {
      const auto part = testing::decoded_logprobs(transformer, lane_, sequence);
      decoded.insert(decoded.end(), part.begin(), part.end());
    }
    EXPECT_EQ(bits(pass.forward(lane_, batch->sequences, {})), bits(decoded));
    EXPECT_EQ(bits(pass.score(lane_, batch->sequences, {})), bits(decoded));
  }
}

TEST_P(TrainingPassTest, EntropiesComeWithTheLogProbs) {
  TrainingPass pass(*weights_, kMaxPositions, false);
  Transformer transformer(*weights_, kMaxPositions);
  std::vector<float> entropies(batch_.num_logprobs), scored(batch_.num_logprobs);
  pass.forward(lane_, batch_.sequences, entropies);
  pass.score(lane_, batch_.sequences, scored);
  EXPECT_EQ(bits(entropies), bits(scored));

  // Of the first completion token of the first sequence, in double.
  const auto logits = testing::logits_in_chunks(transformer, lane_, batch_.tokens[0], {64});
  const auto vocab = static_cast<std::size_t>(weights_->config().vocab_size);
  const auto row = std::span(logits).subspan(4 * vocab, vocab);
  double sum = 0, entropy = 0;
  for (const float logit : row) sum += std::exp(double{logit});
  for (const float logit : row) entropy -= std::exp(logit) / sum * (logit - std::log(sum));
  EXPECT_NEAR(entropies[0], entropy, 1e-4);
}

TEST_P(TrainingPassTest, RecomputationAndThreadsDoNotChangeABitOfTheGradient) {
  TrainingPass keeping(*weights_, kMaxPositions, false), recomputing(*weights_, kMaxPositions, true);
  for (const Batch* batch : {&batch_, &groups_}) {
    const auto expected = bits(gradient(keeping, lane_, *batch));
    EXPECT_EQ(bits(gradient(keeping, lane_, *batch)), expected) << "the same pass again";
    EXPECT_EQ(bits(gradient(recomputing, lane_, *batch)), expected) << "recomputed";
    for (const int num_threads : {2, 3}) {
      Lane lane(num_threads);
      EXPECT_EQ(bits(gradient(keeping, lane, *batch)), expected) << num_threads << " threads";
      EXPECT_EQ(bits(gradient(recomputing, lane, *batch)), expected) << num_threads << " threads, recomputed";
    }
  }
}

TEST_P(TrainingPassTest, StepsGiveTheSameBitsWhateverIsScoredBetweenThem) {
  for (const bool recompute : {false, true}) {
    TrainingPass whole(*weights_, kMaxPositions, recompute), in_steps(*weights_, kMaxPositions, recompute, 1);
    std::vector<float> entropies(groups_.num_logprobs);
    const std::vector<float> logprobs = whole.forward(lane_, groups_.sequences, entropies);
    const std::vector<float> expected = gradient(whole, lane_, groups_);
    const std::vector<float> of_others = whole.score(lane_, batch_.sequences, {});

    int num_steps = 0;
    const auto score_others = [&] {
      ++num_steps;
      ASSERT_EQ(bits(in_steps.score(lane_, batch_.sequences, {})), bits(of_others));
    };
    in_steps.begin_forward(groups_.sequences);
    while (!in_steps.forward_step(lane_)) score_others();
    EXPECT_EQ(num_steps, weights_->config().num_layers);  // and a last one: the vocabulary
    EXPECT_EQ(bits(in_steps.logprobs()), bits(logprobs));
    EXPECT_EQ(bits(in_steps.entropies()), bits(entropies));
    std::vector<float> gradients(weights_->layout().num_floats());
    in_steps.begin_backward(groups_.dlogp, gradients);
    while (!in_steps.backward_step(lane_)) score_others();
    EXPECT_EQ(num_steps, 2 * weights_->config().num_layers);
    EXPECT_EQ(bits(gradients), bits(expected));
  }
}

TEST_P(TrainingPassTest, APassThatIsLeftHalfWayIsForgotten) {
  TrainingPass pass(*weights_, kMaxPositions, false, 1);
  const std::vector<float> expected = gradient(pass, lane_, groups_);
  pass.begin_forward(batch_.sequences);
  pass.forward_step(lane_);
  pass.release_memory();
  EXPECT_EQ(bits(gradient(pass, lane_, groups_)), bits(expected));
  std::vector<float> gradients(weights_->layout().num_floats());
  pass.forward(lane_, batch_.sequences, {});
  pass.begin_backward(batch_.dlogp, gradients);
  pass.backward_step(lane_);
  EXPECT_EQ(bits(gradient(pass, lane_, groups_)), bits(expected));
}

TEST_P(TrainingPassTest, KernelVariantsGiveTheSameBits) {
  testing::KernelVariants variants;
  TrainingPass pass(*weights_, kMaxPositions, false);
  const auto apart = bits(gradient(pass, lane_, batch_)), groups = bits(gradient(pass, lane_, groups_));
  for (const std::string& name : variants.available()) {
    ASSERT_TRUE(kernels::select_variant(name));
    EXPECT_EQ(bits(gradient(pass, lane_, batch_)), apart) << name;
    EXPECT_EQ(bits(gradient(pass, lane_, groups_)), groups) << name;
  }
}

// Prompts that are run once, and one by one, where nothing is shared.
TEST_P(TrainingPassTest, SharedPromptsGetTheSumOfWhatEachWouldGive) {
  TrainingPass pass(*weights_, kMaxPositions, false);
  const std::vector<float> together = gradient(pass, lane_, groups_), apart = gradient_one_by_one(pass, groups_);
  for (const Parameter& parameter : weights_->layout().parameters()) {
    EXPECT_LT(relative_difference(parameter, together, apart), 1e-5) << parameter.name;
  }
}

// As if the log-probs of given tokens were there, and nothing hung on them.
TEST_P(TrainingPassTest, GivenTokensAreReadAndNotTrained) {
  const std::vector<TokenRun> given = {{0, 0}, {1, 3}, {3, 4}, {6, 11}};
  Batch batch(vocab_, kGroups, 4);
  Batch zeroed = batch;
  std::vector<float> drawn_dlogp, drawn_logprobs;
  TrainingPass pass(*weights_, kMaxPositions, false);
  const std::vector<float> logprobs = pass.score(lane_, batch.sequences, {});
  std::size_t at = 0;
  for (std::size_t i = 0; i < batch.sequences.size(); ++i) {
    const auto length = static_cast<int>(batch.tokens[i].size()) - batch.prompts[i];
    if (length >= given.back().end) batch.sequences[i].given = given;
    for (int token = 0; token < length; ++token, ++at) {
      const bool is_given = std::ranges::any_of(
          batch.sequences[i].given, [&](const TokenRun& run) { return run.begin <= token && token < run.end; });
      if (is_given) {
        zeroed.dlogp[at] = 0;
      } else {
        drawn_dlogp.push_back(batch.dlogp[at]);
        drawn_logprobs.push_back(logprobs[at]);
      }
    }
  }
  ASSERT_EQ(drawn_dlogp.size() + 5 * 8, batch.dlogp.size());
  batch.dlogp = drawn_dlogp;
  EXPECT_EQ(bits(pass.score(lane_, batch.sequences, {})), bits(drawn_logprobs));
  EXPECT_EQ(bits(pass.forward(lane_, batch.sequences, {})), bits(drawn_logprobs));
  const std::vector<float> gradients = gradient(pass, lane_, batch), expected = gradient(pass, lane_, zeroed);
  for (const Parameter& parameter : weights_->layout().parameters()) {
    EXPECT_LT(relative_difference(parameter, gradients, expected), 1e-6) << parameter.name;
  }
}

TEST_P(TrainingPassTest, ScoringBetweenForwardAndBackwardChangesNothing) {
  for (const bool recompute : {false, true}) {
    TrainingPass pass(*weights_, kMaxPositions, recompute);
    const auto expected = bits(gradient(pass, lane_, batch_));
    std::vector<float> gradients(weights_->layout().num_floats());
    pass.forward(lane_, batch_.sequences, {});
    pass.score(lane_, Batch(vocab_, kApart, 9).sequences, {});
    pass.backward(lane_, batch_.dlogp, gradients);
    EXPECT_EQ(bits(gradients), expected);
  }
}

// The derivative along a random direction within each parameter, against central differences of the log-probs.
TEST_P(TrainingPassTest, GradientMatchesFiniteDifferences) {
  TrainingPass pass(*weights_, kMaxPositions, false);
  const std::vector<float> gradients = gradient(pass, lane_, batch_);
  const auto objective = [&] {
    const auto logprobs = pass.score(lane_, batch_.sequences, {});
    double sum = 0;
    for (std::size_t i = 0; i < logprobs.size(); ++i) sum += double{logprobs[i]} * batch_.dlogp[i];
    return sum;
  };
  const auto& parameters = weights_->layout().parameters();
  for (std::size_t index = 0; index < parameters.size(); ++index) {
    const Parameter& parameter = parameters[index];
    float* values = weights_->mutable_parameter(static_cast<int>(index));
    const std::vector<float> before(values, values + parameter.size);
    std::vector<float> direction = random_floats(parameter.size, index);
    double norm = 0, expected = 0;
    for (std::size_t i = 0; i < direction.size(); ++i) {
      if (before[i] == 0.0f) direction[i] = 0.0f;  // padding
      norm += double{direction[i]} * direction[i];
    }
    const double step = 4e-3 / std::sqrt(norm);
    for (std::size_t i = 0; i < direction.size(); ++i) {
      expected += double{gradients[parameter.offset + i]} * direction[i] / std::sqrt(norm);
    }
    const auto at = [&](double by) {
      for (std::size_t i = 0; i < direction.size(); ++i) values[i] = before[i] + static_cast<float>(by * direction[i]);
      return objective();
    };
    const double difference = (at(step) - at(-step)) / 8e-3;
    std::copy(before.begin(), before.end(), values);
    EXPECT_NEAR(difference, expected, 0.01 * std::abs(expected) + 0.003) << parameter.name;
  }
}

TEST_P(TrainingPassTest, GradientsAddToWhatIsThereAndPaddingStaysZero) {
  TrainingPass pass(*weights_, kMaxPositions, false);
  const std::vector<float> once = gradient(pass, lane_, batch_);
  std::vector<float> twice = once;
  pass.forward(lane_, batch_.sequences, {});
  pass.backward(lane_, batch_.dlogp, twice);
  std::vector<float> doubled = once;
  for (float& value : doubled) value *= 2;
  for (const Parameter& parameter : weights_->layout().parameters()) {
    EXPECT_LT(relative_difference(parameter, twice, doubled), 1e-5) << parameter.name;
    // A panel of 16 outputs: element (n, k) at (n / 16) * cols * 16 + k * 16 + n % 16.
    for (int n = parameter.rows; parameter.is_matrix() && n % kPanelWidth != 0; ++n) {
      for (int k = 0; k < parameter.cols; ++k) {
        EXPECT_EQ(once[parameter.offset + static_cast<std::size_t>((n / 16 * parameter.cols + k) * 16 + n % 16)], 0.0f);
      }
    }
  }
}

// Where the output matrix is not also the embedding, a gradient matrix is one chain over the rows.
TEST_P(TrainingPassTest, CuttingABatchIntoPassesKeepsTheBitsOfMatrixGradients) {
  TrainingPass pass(*weights_, kMaxPositions, false);
  const std::vector<float> whole = gradient(pass, lane_, batch_), parts = gradient_one_by_one(pass, batch_);
  for (const Parameter& parameter : weights_->layout().parameters()) {
    if (!parameter.is_matrix() || (parameter.name == "embed" && weights_->config().tied_embeddings)) continue;
    EXPECT_EQ(bits(std::span(parts).subspan(parameter.offset, parameter.size)),
              bits(std::span(whole).subspan(parameter.offset, parameter.size)))
        << parameter.name;
  }
}

TEST(TrainingPackTest, NeighboursWithOnePromptShareItsRows) {
  const std::vector<std::int32_t> first = {1, 2, 3, 4, 5}, second = {1, 2, 3, 6}, other = {1, 2, 4, 7},
                                  longer_prompt = {1, 2, 4, 7, 8};
  const std::vector<ScoredSequence> sequences = {{first, 3}, {second, 3}, {other, 3}, {longer_prompt, 4}};
  const TrainingPack pack = make_training_pack(sequences, kMaxPositions, 16);
  EXPECT_THAT(pack.tokens, ::testing::ElementsAre(1, 2, 3, 4, 3, 1, 2, 4, 1, 2, 4, 7));
  EXPECT_THAT(pack.logit_rows, ::testing::ElementsAre(2, 3, 4, 7, 11));
  EXPECT_THAT(pack.targets, ::testing::ElementsAre(4, 5, 6, 7, 8));
  std::vector<std::pair<int, int>> rows;
  for (const PackSequence& sequence : pack.sequences) rows.emplace_back(sequence.num_rows, sequence.prefix);
  EXPECT_THAT(rows, ::testing::ElementsAre(std::pair(2, -1), std::pair(2, 0), std::pair(1, 0), std::pair(3, -1),
                                           std::pair(4, -1)));
}

TEST(TrainingPassTest, NothingToScoreGivesNothing) {
  const auto weights = small_model("llama");
  TrainingPass pass(*weights, kMaxPositions, false);
  Lane lane(1);
  const std::vector<std::int32_t> tokens = {1, 2, 3};
  const ScoredSequence prompt_only{tokens, 3};
  std::vector<float> gradients(weights->layout().num_floats());
  EXPECT_TRUE(pass.forward(lane, {&prompt_only, 1}, {}).empty());
  pass.backward(lane, {}, gradients);
  EXPECT_THAT(gradients, ::testing::Each(0.0f));
  EXPECT_TRUE(pass.score(lane, {}, {}).empty());
}

// More rows than a chunk of the vocabulary projection, and more tokens than score() takes at a time.
TEST(TrainingPassTest, ChunksOfRowsAndSequencesDoNotShow) {
  const auto weights = small_model("llama_tied");
  const int vocab = weights->config().vocab_size;
  TrainingPass pass(*weights, kMaxPositions, false);
  Lane lane(2);
  std::vector<std::vector<std::int32_t>> tokens;
  std::vector<ScoredSequence> sequences;
  std::vector<float> one_by_one;
  for (std::uint64_t i = 0; i < 40; ++i) tokens.push_back(random_tokens(90, vocab, i));
  for (const auto& list : tokens) {
    sequences.push_back({list, 3});
    const auto part = pass.score(lane, {&sequences.back(), 1}, {});
    one_by_one.insert(one_by_one.end(), part.begin(), part.end());
  }
  EXPECT_EQ(bits(pass.score(lane, sequences, {})), bits(one_by_one));
  EXPECT_EQ(bits(pass.forward(lane, sequences, {})), bits(one_by_one));

  // The gradient of 40 equal weights, whose output matrix is summed over several chunks.
  const std::vector<float> dlogp = random_floats(one_by_one.size(), 5);
  std::vector<float> gradients(weights->layout().num_floats()), parts(gradients.size());
  pass.backward(lane, dlogp, gradients);
  std::size_t first = 0;
  for (const ScoredSequence& sequence : sequences) {
    const std::size_t count = pass.forward(lane, {&sequence, 1}, {}).size();
    pass.backward(lane, std::span(dlogp).subspan(first, count), parts);
    first += count;
  }
  double difference = 0, norm = 0;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    difference += std::pow(double{parts[i]} - gradients[i], 2);
    norm += std::pow(double{gradients[i]}, 2);
  }
  EXPECT_LT(std::sqrt(difference), 1e-5 * std::sqrt(norm));
}

TEST(TrainingPassTest, ActivationBytesFollowWhatIsKept) {
  const ModelConfig config = testing::small_model_config("qwen3");
  const std::size_t kept = TrainingPass::activation_bytes(config, 4096, false);
  const std::size_t recomputed = TrainingPass::activation_bytes(config, 4096, true);
  // Two of three layers' qkv, attention, middle and gate_up: floats a row, by hand.
  const std::size_t layer_row = (6 + 2 * 2) * 20 + 6 * 20 + 40 + 2 * 56;
  EXPECT_EQ(kept - recomputed, std::size_t{2} * 4096 * layer_row * sizeof(float));
  EXPECT_GT(recomputed, std::size_t{4} * 4096 * 40 * sizeof(float));
}

TEST(TrainingPassDeathTest, MisuseEndsTheProcess) {
  const auto weights = small_model("llama");
  TrainingPass pass(*weights, 8, false);
  Lane lane(1);
  const std::vector<std::int32_t> tokens = {1, 2, 3}, too_long(9, 1);
  const ScoredSequence no_prompt{tokens, 0}, long_one{too_long, 1}, good{tokens, 1};
  std::vector<float> gradients(weights->layout().num_floats());
  EXPECT_DEATH(pass.forward(lane, {&no_prompt, 1}, {}), "prompt_length");
  EXPECT_DEATH(pass.forward(lane, {&long_one, 1}, {}), "longer than 8 positions");
  EXPECT_DEATH(pass.backward(lane, {}, gradients), "a backward without its forward");
  pass.forward(lane, {&good, 1}, {});
  EXPECT_DEATH(pass.backward(lane, {}, gradients), "dlogp");
}

}  // namespace
}  // namespace jigsaw
