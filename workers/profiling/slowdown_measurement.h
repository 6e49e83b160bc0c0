// How much two kinds of work slow each other down on one worker's executor.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "core/clock.h"
#include "core/result.h"
#include "workers/executor.h"
#include "workers/pipeline_runtime.h"
#include "workers/profiling/arithmetic.h"
#include "workers/profiling/quantum_rate.h"
#include "workers/trainer/training_sample.h"

namespace jigsaw {

// A pipeline to measure with. Its engine and trainer are idle before and after; its weights stay.
struct SlowdownParty {
  PipelineRuntime& runtime;
  std::span<const TrainingSample> samples;  // finished ones, complete for training
};

struct SlowdownOptions {
  int num_threads = 2;  // of the executor; with one there is nothing to measure
  std::vector<double> shares = {0.25, 0.5, 0.75};
  RateWindow window;        // of one pair at one split, and of each kind alone
  double seconds_max = 60;  // then pairs that are left are left out; what matters most comes first
  std::function<void(const std::string&)> on_progress = [](const std::string&) {};
};

// Update, decode in narrow passes (one sequence) and in wide ones (all that a worker may have), log-probs under the
// reference where there is one, prefill: each of these of `first` beside each of `second`, at each share. Merged; what
// got too few turns within the window is missing. A share counts by the split of cores that the executor makes of it.
Result<std::vector<SlowdownMeasurement>> measure_slowdowns(Executor& executor, const Clock& clock, SlowdownParty first,
                                                           SlowdownParty second, const SlowdownOptions& options);

}  // namespace jigsaw
