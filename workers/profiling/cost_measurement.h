// How long one pipeline's work takes alone on all threads of a worker, piece by piece.
#pragma once

#include <vector>

#include "core/lane.h"
#include "core/result.h"
#include "workers/pipeline_runtime.h"
#include "workers/profiling/arithmetic.h"
#include "workers/trainer/training_sample.h"

namespace jigsaw {

struct CostMeasurement {
  struct DecodePoint {
    int batch = 0;
    double seconds = 0;  // of a pass
  };
  std::vector<DecodePoint> decode;  // at batches 1, 2, 4, .. and the widest; at about context_from cached tokens
  double context_from = 0;
  double context_token_s = 0;  // by which a pass gets longer for each cached token beyond, of each sequence
  LinearTime prefill;
  double logprob_token_s = 0;
  double update_token_s = 0;  // forward and backward
  double optimizer_s = 0;
};

// Medians. Each measurement lasts about window_s, or a few repetitions where one takes longer. `samples`: finished ones
// of the pipeline, complete for training, as many as one has. The pipeline's engine and trainer are idle before and
// after; its weights change.
Result<CostMeasurement> measure_cost(PipelineRuntime& runtime, Lane& lane, const std::vector<TrainingSample>& samples,
                                     double window_s);

// 1, 2, 4, .. below `widest`, and `widest`.
std::vector<int> batches_to_measure(int widest);
// The first samples of as many tokens as fit into tokens_max, one at least, as one slot with the whole batch's
// advantages.
Result<SlotBatch> training_load(const PipelineRuntime& runtime, const std::vector<TrainingSample>& samples,
                                int tokens_max);

}  // namespace jigsaw
