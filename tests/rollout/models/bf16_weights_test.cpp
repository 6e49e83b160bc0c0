// WeightFormat::kBf16: what rollout and trainer compute with weights that are read rounded.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "rollout/models/training_pass.h"
#include "tests/rollout/models/model_testing.h"

namespace jigsaw {
namespace {

using testing::bits;
using testing::random_floats;
using testing::random_tokens;
using testing::small_model;

constexpr int kMaxPositions = 96;

// To 8 significant bits by arithmetic on the number, not on its bits: nearest, ties to even.
float rounded(float value) {
  if (value == 0.0f) return value;
  int exponent = 0;
  const double mantissa = std::frexp(static_cast<double>(value), &exponent);
  return static_cast<float>(std::ldexp(std::nearbyint(std::ldexp(mantissa, 8)), exponent - 8));
}

class Bf16WeightsTest : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    for (const int length : {37, 20, 64}) tokens_.push_back(random_tokens(length, config().vocab_size, tokens_.size()));
    for (const auto& tokens : tokens_) sequences_.push_back({tokens, 5});
    dlogp_ = random_floats(32 + 15 + 59, 7);
    for (std::size_t i = 0; i < weights_->layout().parameters().size(); ++i) {
      const Parameter& parameter = weights_->layout().parameters()[i];
      const float* from = weights_->parameter(static_cast<int>(i));
      std::transform(from, from + parameter.size, rounded_weights_.mutable_parameter(static_cast<int>(i)),
                     [&](float value) { return parameter.is_matrix() ? rounded(value) : value; });
    }
    weights_->set_format(WeightFormat::kBf16, lane_);
  }
  const ModelConfig& config() const { return weights_->config(); }

  // Log-probs and then the gradient.
  std::vector<std::uint32_t> trained_bits(const PolicyWeights& weights, Lane& lane) {
    TrainingPass pass(weights, kMaxPositions, false);
    std::vector<float> values = pass.forward(lane, sequences_, {});
    std::vector<float> gradients(weights.layout().num_floats());
    pass.backward(lane, dlogp_, gradients);
    values.insert(values.end(), gradients.begin(), gradients.end());
    return bits(values);
  }

  std::unique_ptr<PolicyWeights> weights_ = small_model(GetParam());
  PolicyWeights rounded_weights_{weights_->config()};  // in fp32
  std::vector<std::vector<std::int32_t>> tokens_;
  std::vector<ScoredSequence> sequences_;
  std::vector<float> dlogp_;
  Lane lane_{2};
};
INSTANTIATE_TEST_SUITE_P(Families, Bf16WeightsTest, ::testing::ValuesIn(testing::small_model_names()),
                         [](const auto& info) { return info.param; });

TEST_P(Bf16WeightsTest, TrainedLogProbsAreThoseOfRolloutBitForBit) {
  TrainingPass pass(*weights_, kMaxPositions, false);
  Transformer transformer(*weights_, kMaxPositions);
  std::vector<float> decoded;
  for (const ScoredSequence& sequence : sequences_) {
    const auto part = testing::decoded_logprobs(transformer, lane_, sequence);
    decoded.insert(decoded.end(), part.begin(), part.end());
  }
  EXPECT_EQ(bits(pass.forward(lane_, sequences_, {})), bits(decoded));
}

TEST_P(Bf16WeightsTest, LogProbsAndGradientsAreThoseOfFp32WeightsThatWereRounded) {
  testing::KernelVariants variants;
  const auto expected = trained_bits(rounded_weights_, lane_);
  for (const std::string& name : variants.available()) {
    ASSERT_TRUE(kernels::select_variant(name));
    EXPECT_EQ(trained_bits(*weights_, lane_), expected) << name;
  }
  weights_->set_format(WeightFormat::kFp32, lane_);
  EXPECT_NE(trained_bits(*weights_, lane_), expected) << "nothing was rounded";
}

TEST_P(Bf16WeightsTest, TheMasterIsWhatIsHashedAndWhatIsWritten) {
  PolicyWeights master(config());
  std::ranges::copy(weights_->floats(), master.mutable_floats().begin());
  EXPECT_EQ(weights_->hash(), master.hash());
  EXPECT_NE(weights_->hash(), rounded_weights_.hash());

  // A step too small to be seen in bf16 is kept by the master and adds up with others.
  const auto before = trained_bits(*weights_, lane_);
  const int output = weights_->layout().output();
  const auto scale = [&](float by) {
    float* values = weights_->mutable_parameter(output);
    for (std::size_t i = 0; i < weights_->layout().parameter(output).size; ++i) values[i] *= by;
    weights_->round(lane_);
  };
  scale(1.0f + 0x1p-20f);
  EXPECT_NE(weights_->hash(), master.hash());
  for (int i = 0; i < 14; ++i) scale(1.0f + 0x1p-10f);
  EXPECT_NE(trained_bits(*weights_, lane_), before);
}

TEST_P(Bf16WeightsTest, AMatrixThatWasWrittenAndNotRoundedIsNotRead) {
  weights_->mutable_floats();
  EXPECT_DEATH(weights_->matrix(weights_->layout().output()), "not rounded");
}

TEST_P(Bf16WeightsTest, TakesTwoBytesMoreAMatrixElement) {
  const std::size_t in_fp32 = weights_->floats().size_bytes();
  EXPECT_GT(weights_->num_bytes(), in_fp32);
  EXPECT_LE(weights_->num_bytes(), in_fp32 + in_fp32 * 11 / 20);  // depths of these models are odd or small
  EXPECT_EQ(PolicyWeights::num_bytes(weights_->layout(), WeightFormat::kBf16), weights_->num_bytes());
  EXPECT_EQ(PolicyWeights::num_bytes(weights_->layout(), WeightFormat::kFp32), in_fp32);
}

}  // namespace
}  // namespace jigsaw
