#include <array>

#include "workers/trainer/algorithms/algorithm.h"

namespace jigsaw {
namespace {

using enum RatioLevel;
using enum ClipKind;
using enum Aggregation;
using enum KlPlacement;

// DeepSeekMath (2402.03300), Dr.GRPO (2503.20783), DAPO (2503.14476), GSPO (2507.18071), CISPO (2506.13585),
// RLOO (2402.14740), REINFORCE++ (2501.03262).
constexpr std::array kAlgorithms = {
    Algorithm{"grpo", group_relative_advantages, kToken, kPessimistic, kMeanOfSampleMeans, kLoss},
    Algorithm{"dr_grpo", group_relative_advantages, kToken, kPessimistic, kFixedLength, kLoss},
    Algorithm{"dapo", group_relative_advantages, kToken, kPessimistic, kTokenMean, kLoss},
    Algorithm{"gspo", group_relative_advantages, kSequenceMean, kPessimistic, kMeanOfSampleMeans, kLoss},
    Algorithm{"cispo", group_relative_advantages, kToken, kTruncatedWeight, kTokenMean, kLoss},
    Algorithm{"rloo", leave_one_out_advantages, kSequenceSum, kPessimistic, kMeanOfSampleMeans, kReward},
    Algorithm{"reinforce_pp", token_return_advantages, kToken, kPessimistic, kTokenMean, kReward},
};

}  // namespace

const Algorithm* find_algorithm(std::string_view name) {
  for (const Algorithm& algorithm : kAlgorithms) {
    if (algorithm.name == name) return &algorithm;
  }
  return nullptr;
}

std::span<const Algorithm> all_algorithms() { return kAlgorithms; }

bool needs_kl_in_reward(const AlgorithmConfig& config) {
  const Algorithm* algorithm = find_algorithm(config.name);
  return config.beta > 0 && algorithm != nullptr && algorithm->kl == KlPlacement::kReward;
}

bool needs_kl_in_loss(const AlgorithmConfig& config) {
  const Algorithm* algorithm = find_algorithm(config.name);
  return config.beta > 0 && algorithm != nullptr && algorithm->kl == KlPlacement::kLoss;
}

}  // namespace jigsaw
