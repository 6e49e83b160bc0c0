// What a gradient slot trains, and what comes of it besides the gradient. Plain values.
#pragma once

#include <cstdint>
#include <vector>

#include "workers/trainer/training_sample.h"

namespace jigsaw {

// One slot's part of a step's batch; indices into the batch given to compute_advantages.
struct SlotBatch {
  int slot = 0;
  std::vector<TrainingSample> samples;                       // in index order
  std::vector<std::vector<double>> advantages;               // per sample and token
  std::int64_t num_samples_total = 0, num_tokens_total = 0;  // denominators of the whole batch
};
struct SlotResult {
  double loss = 0;                                         // this slot's share of the batch loss (they add up)
  double entropy_sum = 0, kl_sum = 0, clipped_tokens = 0;  // sums over the slot's tokens
  std::int64_t num_tokens = 0;
};

}  // namespace jigsaw
