// What graph and scheduler know of a pipeline: sizes and barriers, nothing of models, tasks or algorithms. Plain
// values.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace jigsaw {

struct PipelineSpec {
  std::string name;
  std::int64_t steps = 1;
  int prompts_per_step = 1;
  int group_size = 1;            // completions a prompt
  int updates_per_step = 1;      // optimizer updates; each trains an equal run of the step's prompts
  int grad_slots = 1;            // fixed partial sums of an update's gradient
  bool needs_reference = false;  // a logprob sub-stage stands between rollout and update
  int checkpoint_every = 0;      // steps; 0 = only after the last
  int checkpoints_kept = 2;
  double weight = 1.0;                    // share of a worker against other pipelines
  std::chrono::milliseconds deadline{0};  // wished length of a step; 0 = none

  int samples_per_step() const { return prompts_per_step * group_size; }
  bool checkpoint_due(std::int64_t step) const {
    return step == steps || (checkpoint_every > 0 && step % checkpoint_every == 0);
  }
};

}  // namespace jigsaw
