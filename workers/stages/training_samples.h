// Trajectories as the trainer takes them.
#pragma once

#include <vector>

#include "core/wire/messages.pb.h"
#include "workers/stages/given_tokens.h"
#include "workers/trainer/training_sample.h"

namespace jigsaw {

// Of one value a completion token: those of tokens that were drawn.
inline std::vector<float> of_drawn_tokens(std::span<const float> values, std::span<const TokenRun> given) {
  std::vector<float> drawn;
  int next = 0;
  const auto take_until = [&](int end) {
    for (; next < end && next < static_cast<int>(values.size()); ++next) {
      drawn.push_back(values[static_cast<std::size_t>(next)]);
    }
  };
  for (const TokenRun& run : given) {
    take_until(run.begin);
    next = std::max(next, run.end);
  }
  take_until(static_cast<int>(values.size()));
  return drawn;
}

// Of one value a drawn token of `sample`: one a completion token, 0 for those that were given.
inline std::vector<float> for_each_completion_token(const TrainingSample& sample, std::span<const float> drawn) {
  std::vector<float> values;
  for (const TokenRun& run : sample.given) {
    const auto count = static_cast<std::size_t>(run.begin) - values.size();
    values.insert(values.end(), drawn.begin(), drawn.begin() + static_cast<std::ptrdiff_t>(count));
    drawn = drawn.subspan(count);
    values.resize(static_cast<std::size_t>(run.end), 0.0f);
  }
  values.insert(values.end(), drawn.begin(), drawn.end());
  return values;
}

inline TrainingSample to_training_sample(const wire::Trajectory& trajectory) {
  const auto values_of = [](const auto& field) {
    return std::span<const float>(field.data(), static_cast<std::size_t>(field.size()));
  };
  TrainingSample sample;
  sample.group = trajectory.prompt_index();
  sample.reward = trajectory.reward();
  sample.tokens.assign(trajectory.tokens().begin(), trajectory.tokens().end());
  sample.prompt_length = static_cast<int>(trajectory.prompt_length());
  sample.given = runs_of(trajectory.given());
  sample.old_logprobs = of_drawn_tokens(values_of(trajectory.logprobs()), sample.given);
  sample.ref_logprobs = of_drawn_tokens(values_of(trajectory.ref_logprobs()), sample.given);
  return sample;
}

}  // namespace jigsaw
