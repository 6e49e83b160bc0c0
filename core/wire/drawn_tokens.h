// How many tokens of a completion the policy has drawn.
#pragma once

#include <cstdint>

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

}  // namespace jigsaw
