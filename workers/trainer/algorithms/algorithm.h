// An algorithm is a row: advantage x ratio level x clip x aggregation. The train loop reads rows and knows no names.
#pragma once

#include <span>
#include <string_view>

#include "workers/trainer/advantages.h"
#include "workers/trainer/algorithm_config.h"

namespace jigsaw {

// What the probability ratio r of current to old policy covers.
enum class RatioLevel {
  kToken,         // exp(lp - old), one a token
  kSequenceMean,  // exp(mean over t of (lp - old)), one a completion
  kSequenceSum,   // exp(sum over t of (lp - old)), one a completion
};

enum class ClipKind {
  kPessimistic,      // -min(r A, clip(r, 1 - e, 1 + E) A): PPO
  kTruncatedWeight,  // -stopgrad(min(r, E)) A lp
};

// How token losses become the loss of a batch of B completions with N tokens.
enum class Aggregation {
  kMeanOfSampleMeans,  // mean over i of (mean over t)
  kTokenMean,          // sum / N
  kFixedLength,        // sum / (B x max_completion_length)
};

enum class KlPlacement { kLoss, kReward };

// Fills per_token and per_sample; the rest of `advantages` is there, and per_token has its sizes. Inputs are checked.
using AdvantageRule = void (*)(const AlgorithmConfig& config, std::span<const TrainingSample> samples,
                               BatchAdvantages& advantages);

struct Algorithm {
  std::string_view name;
  AdvantageRule advantages = nullptr;
  RatioLevel ratio = RatioLevel::kToken;
  ClipKind clip = ClipKind::kPessimistic;
  Aggregation aggregation = Aggregation::kMeanOfSampleMeans;
  KlPlacement kl = KlPlacement::kLoss;
};

// Null when there is no such row.
const Algorithm* find_algorithm(std::string_view name);
std::span<const Algorithm> all_algorithms();

// beta > 0 is in the advantages (they read old and reference log-probs), or in the loss (which reads the reference's).
bool needs_kl_in_reward(const AlgorithmConfig& config);
bool needs_kl_in_loss(const AlgorithmConfig& config);

// ---- The rules, one file each
// ---------------------------------------------------------------------------------------- R less the mean of its
// group, scaled as scale_rewards says.
void group_relative_advantages(const AlgorithmConfig& config, std::span<const TrainingSample> samples,
                               BatchAdvantages& advantages);
// R' less the mean of the others of its group, where R' = R - beta x k1.
void leave_one_out_advantages(const AlgorithmConfig& config, std::span<const TrainingSample> samples,
                              BatchAdvantages& advantages);
// A token's reward to go, R - beta x (k1 of the tokens from it on), standardized over all tokens of the batch.
void token_return_advantages(const AlgorithmConfig& config, std::span<const TrainingSample> samples,
                             BatchAdvantages& advantages);

}  // namespace jigsaw
