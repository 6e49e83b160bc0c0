// Advantages of a whole batch: the part of an algorithm that looks at all samples together. Pure, in double precision,
// in index order, so that whoever computes them gets the same bits.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/result.h"
#include "workers/trainer/algorithm_config.h"
#include "workers/trainer/training_sample.h"

namespace jigsaw {

// Advantages of a whole batch and its denominators: computed once (by the controller), handed to whoever trains a slot.
struct BatchAdvantages {
  std::vector<std::vector<double>> per_token;  // per sample, one a completion token (equal values but for reinforce_pp)
  std::vector<double> per_sample;              // what `advantages` reports
  std::int64_t num_samples = 0;                // B
  std::int64_t num_tokens = 0;                 // N
};

// Fails on an unknown algorithm, on rewards or log-probs that are not finite, and on missing log-probs where the KL to
// the reference is part of the reward.
Result<BatchAdvantages> compute_advantages(const AlgorithmConfig& config, std::span<const TrainingSample> samples);

}  // namespace jigsaw
