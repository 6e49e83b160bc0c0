// Real steps of one pipeline by itself on one worker that has all samples: how long each stage takes, and how long
// prompts and responses are.
#pragma once

#include <vector>

#include "core/result.h"
#include "graph/sub_stage_kind.h"
#include "workers/executor.h"
#include "workers/pipeline_runtime.h"
#include "workers/trainer/training_sample.h"

namespace jigsaw {

// Seconds of one step. Without sync-mode's copy of weights sync_s is 0, without a reference ref_logprob_s.
struct StepSeconds {
  double rollout_s = 0;  // to the last completion
  double tail_s = 0;     // of it, since passes became narrow
  double reward_s = 0;   // from the last completion to the last reward
  double ref_logprob_s = 0;
  double update_s = 0;  // all updates of the step
  double sync_s = 0;
};

struct StepMeasurement {
  std::vector<StepSeconds> steps;
  std::vector<double> prompt_tokens, response_tokens;  // of each sample of each step
  std::vector<TrainingSample> samples;                 // of the last step, by index
};

// Means over the steps but the first, which has page faults and the like in it; of one step, its own.
StepSeconds mean_seconds(const std::vector<StepSeconds>& steps);

// Runs 1 .. num_steps, fewer once `seconds_max` have passed, but one at least. The pipeline's weights change. With
// staleness as in sync mode, with the copy of the weights after each update: it takes as long.
Result<StepMeasurement> measure_steps(PipelineRuntime& runtime, Executor& executor, TokenBins bins, int num_steps,
                                      double seconds_max);

}  // namespace jigsaw
