// Cuts a slot's samples into micro-batches. Pure: it looks at the samples alone, so a slot has the same packs, and with
// them the same bits, on any worker.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "workers/trainer/training_sample.h"

namespace jigsaw {

struct MicroBatch {
  std::vector<std::size_t> samples;  // indices, ascending
  int num_tokens = 0;                // prompts included, each as often as it has completions
};

// In order, each at most `tokens_max` tokens; a longer sample is a pack of its own. Samples without a completion are
// left out: there is nothing to score.
std::vector<MicroBatch> pack_micro_batches(std::span<const TrainingSample> samples, int tokens_max);

}  // namespace jigsaw
