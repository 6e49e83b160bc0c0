// Log-probs, entropies and gradients of tiny models of every family, against transformers (golden/transformer).
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "rollout/models/logprobs.h"
#include "rollout/models/model_files.h"
#include "rollout/models/training_pass.h"
#include "rollout/models/transformer.h"

namespace jigsaw {
namespace {

class TransformerGoldenTest : public ::testing::TestWithParam<std::string> {
 protected:
  struct Sequence {
    std::vector<std::int32_t> tokens;
    int prompt_length = 0;
    std::vector<float> logprobs, entropies, dlogp;
  };

  void SetUp() override {
    auto weights = load_model(folder_);
    ASSERT_TRUE(weights) << weights.error().message();
    weights_ = std::move(*weights);
    std::ifstream file(folder_ / "expected.json");
    const auto json = nlohmann::json::parse(file);
    for (const auto& line : json.at("sequences")) {
      expected_.push_back(
          {line.at("tokens"), line.at("prompt_length"), line.at("logprobs"), line.at("entropies"), line.at("dlogp")});
    }
    ASSERT_EQ(expected_.size(), 4u);
    for (const Sequence& sequence : expected_) {
      sequences_.push_back({sequence.tokens, sequence.prompt_length});
      logprobs_.insert(logprobs_.end(), sequence.logprobs.begin(), sequence.logprobs.end());
      entropies_.insert(entropies_.end(), sequence.entropies.begin(), sequence.entropies.end());
      dlogp_.insert(dlogp_.end(), sequence.dlogp.begin(), sequence.dlogp.end());
    }
  }

  const std::filesystem::path folder_ =
      std::filesystem::path(JIGSAW_SOURCE_DIR) / "tests/rollout/models/golden/transformer" / GetParam();
  std::unique_ptr<PolicyWeights> weights_;
  std::vector<Sequence> expected_;
  std::vector<ScoredSequence> sequences_;
  std::vector<float> logprobs_, entropies_, dlogp_;  // sequence after sequence
  Lane lane_{2};
};
INSTANTIATE_TEST_SUITE_P(Models, TransformerGoldenTest,
                         ::testing::Values("llama3_rope", "llama_tied", "mistral", "qwen2", "qwen3"),
                         [](const auto& info) { return info.param; });

TEST_P(TransformerGoldenTest, LogProbsOfASequence) {
  Transformer transformer(*weights_, 64);
  for (const Sequence& sequence : expected_) {
    const auto logprobs = sequence_logprobs(transformer, lane_, sequence.tokens);
    ASSERT_TRUE(logprobs) << logprobs.error().message();
    ASSERT_EQ(logprobs->size(), sequence.tokens.size() - 1);
    const std::size_t first = static_cast<std::size_t>(sequence.prompt_length) - 1;
    for (std::size_t i = 0; i < sequence.logprobs.size(); ++i) {
      EXPECT_NEAR((*logprobs)[first + i], sequence.logprobs[i], 2e-5) << i;
    }
  }
}

TEST_P(TransformerGoldenTest, EntropiesAndGradient) {
  TrainingPass pass(*weights_, 64, false);
  std::vector<float> entropies(entropies_.size()), gradient(weights_->layout().num_floats());
  const auto logprobs = pass.forward(lane_, sequences_, entropies);
  ASSERT_EQ(logprobs.size(), logprobs_.size());
  for (std::size_t i = 0; i < logprobs.size(); ++i) {
    EXPECT_NEAR(logprobs[i], logprobs_[i], 2e-5) << i;
    EXPECT_NEAR(entropies[i], entropies_[i], 2e-5) << i;
  }
  pass.backward(lane_, dlogp_, gradient);

  const auto expected = load_model(folder_ / "gradient");
  ASSERT_TRUE(expected) << expected.error().message();
  for (const Parameter& parameter : weights_->layout().parameters()) {
    double difference = 0, norm = 0;
    for (std::size_t i = parameter.offset; i < parameter.offset + parameter.size; ++i) {
      difference += std::pow(double{gradient[i]} - (*expected)->floats()[i], 2);
      norm += std::pow(double{(*expected)->floats()[i]}, 2);
    }
    EXPECT_GT(norm, 0) << parameter.name;
    EXPECT_LT(std::sqrt(difference), 1e-4 * std::sqrt(norm)) << parameter.name;
  }
}

}  // namespace
}  // namespace jigsaw
