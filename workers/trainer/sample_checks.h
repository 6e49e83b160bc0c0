// What a sample must fulfil before it goes through a model or a loss. Pure. Messages begin with `where`.
#pragma once

#include <span>
#include <string>

#include "core/result.h"
#include "workers/trainer/algorithm_config.h"
#include "workers/trainer/training_sample.h"

namespace jigsaw {

// Its own shape: a prompt, a finite reward, and for each log-prob list one finite value a completion token or none.
Status check_shape(const std::string& where, const TrainingSample& sample);

// What the model asks: token ids of its vocabulary, no more tokens than positions. And check_shape().
struct SampleLimits {
  int vocab_size = 0;
  int max_positions = 0;
};
Status check_for_model(const std::string& where, const TrainingSample& sample, const SampleLimits& limits);

// What the loss reads: an advantage a token, and reference log-probs where the loss has a KL term.
Status check_for_loss(const std::string& where, const AlgorithmConfig& algorithm, const TrainingSample& sample,
                      std::span<const double> advantages);

}  // namespace jigsaw
