// Times training steps of one policy on this machine: what `jigsaw bench step` rests on. Changes the weights.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/lane.h"
#include "core/result.h"
#include "rollout/models/policy_weights.h"

namespace jigsaw {

struct StepBenchOptions {
  std::string algorithm = "grpo";
  int prompt_tokens = 16;
  std::vector<int> completion_lengths;  // one a sample
  int group_size = 4;                   // consecutive samples
  int num_steps = 3;
  int micro_batch_tokens = 2048;
  bool recompute_activations = false;
  int split_tokens = 0;    // longer samples are trained in chunks, all on this machine; 0 = none
  std::uint64_t seed = 1;  // draws tokens and rewards
};

struct StepTiming {
  std::int64_t num_tokens = 0;  // through the model, prompts included
  double forward_backward_s = 0;
  double update_s = 0;           // norm, clipping, AdamW and the weights' hash
  double longest_quantum_s = 0;  // of forward and backward: how long others wait for the core at most
  double total_s() const { return forward_backward_s + update_s; }
};

// One entry a step; the first includes warm-up. Tokens are random, log-probs of the old policy the current ones.
Result<std::vector<StepTiming>> time_training_steps(Lane& lane, PolicyWeights& weights,
                                                    const StepBenchOptions& options);

}  // namespace jigsaw
