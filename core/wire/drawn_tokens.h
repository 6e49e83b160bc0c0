// What of a trajectory is trained: the tokens of its completion that the policy has drawn.
#pragma once

#include <cstdint>
#include <vector>

#include "core/wire/messages.pb.h"

namespace jigsaw {

// Without those that a tool gave.
inline std::int64_t num_drawn_tokens(const wire::Trajectory& trajectory) {
  std::int64_t count = trajectory.logprobs_size();
  for (int i = 0; i + 1 < trajectory.given_size(); i += 2) {
    count -= std::int64_t{trajectory.given(i + 1)} - trajectory.given(i);
  }
  return count;
}

// Tokens of each trajectory, prompts included; 0 where nothing was drawn and so nothing is trained.
template <typename Trajectories>
std::vector<int> trained_lengths(const Trajectories& trajectories) {
  std::vector<int> lengths;
  for (const wire::Trajectory& trajectory : trajectories) {
    lengths.push_back(num_drawn_tokens(trajectory) > 0 ? trajectory.tokens_size() : 0);
  }
  return lengths;
}

}  // namespace jigsaw
