// Trajectories as the trainer takes them.
#pragma once

#include "core/wire/messages.pb.h"
#include "workers/trainer/training_sample.h"

namespace jigsaw {

inline TrainingSample to_training_sample(const wire::Trajectory& trajectory) {
  TrainingSample sample;
  sample.group = trajectory.prompt_index();
  sample.reward = trajectory.reward();
  sample.tokens.assign(trajectory.tokens().begin(), trajectory.tokens().end());
  sample.prompt_length = static_cast<int>(trajectory.prompt_length());
  sample.old_logprobs.assign(trajectory.logprobs().begin(), trajectory.logprobs().end());
  sample.ref_logprobs.assign(trajectory.ref_logprobs().begin(), trajectory.ref_logprobs().end());
  return sample;
}

}  // namespace jigsaw
