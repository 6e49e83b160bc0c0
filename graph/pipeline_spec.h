// What graph and scheduler know of a pipeline: sizes and barriers, nothing of models, tasks or algorithms. Plain
// values.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

#include "graph/sub_stage_kind.h"

namespace jigsaw {

// Bytes of a pipeline on one worker. What is resident stays for the whole run; the rest is there while its sub-stages
// run.
struct MemoryNeeds {
  std::size_t resident = 0;  // weights, reference, optimizer
  std::size_t rollout = 0;   // KV cache
  std::size_t training = 0;  // gradients and activations of log-probs and updates
};

struct PipelineSpec {
  std::string name;
  std::int64_t steps = 1;
  int prompts_per_step = 1;
  int group_size = 1;            // completions a prompt
  int turns = 1;                 // most exchanges of a sample with tools, plus one
  int updates_per_step = 1;      // optimizer updates; each trains an equal run of the step's prompts
  int grad_slots = 1;            // fixed partial sums of an update's gradient
  int split_tokens = 0;          // longer samples are cut (graph/chunk_pairs.h); 0 = none
  bool needs_reference = false;  // a logprob sub-stage stands between rollout and update
  // Steps by which a rollout's weights are older than in sync mode: a rollout of step s uses those after step
  // s - 1 - staleness, always. 0 = sync, 1 = one_step_off, more = async.
  int staleness = 0;
  bool needs_sync = false;   // weights are copied to the rollout; always with staleness
  int checkpoint_every = 0;  // steps; 0 = only after the last
  int checkpoints_kept = 2;
  double weight = 1.0;                    // share of a worker against other pipelines
  std::chrono::milliseconds deadline{0};  // wished length of a step; 0 = none
  double latency_cap = 0;                 // most that a step may take, as a multiple of its time alone; 0 = none
  TokenBins bins;
  MemoryNeeds memory;
  std::int64_t kv_tokens = 0;  // that a worker's KV cache of this pipeline holds; 0 = no bound

  int samples_per_step() const { return prompts_per_step * group_size; }
  bool has_sync() const { return needs_sync || staleness > 0; }
  bool checkpoint_due(std::int64_t step) const {
    return step == steps || (checkpoint_every > 0 && step % checkpoint_every == 0);
  }
};

}  // namespace jigsaw
