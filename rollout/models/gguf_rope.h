// Rotary scaling as GGUF files tell it: `rope.scaling.*` keys, or for Llama 3 a tensor of divisors, one a frequency.
#pragma once

#include <span>

#include "core/result.h"
#include "rollout/models/model_config.h"

namespace jigsaw {

// The kLlama3 settings (theta from `base`) whose frequencies are those of `base` divided by `divisors`, one for each of
// the head_dim / 2 channel pairs. An error where no such settings exist.
Result<RopeConfig> llama3_rope_from_divisors(const RopeConfig& base, int head_dim, std::span<const float> divisors);

}  // namespace jigsaw
