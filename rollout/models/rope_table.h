// Cosines and sines of the rotary embedding, computed once per model (conventions.md, "Models").
#pragma once

#include <vector>

#include "rollout/models/model_config.h"

namespace jigsaw {

// Radians per position of each of the head_dim/2 channel pairs, scaling applied.
std::vector<double> rope_frequencies(const RopeConfig& rope, int head_dim);

// [max_positions][2][head_dim/2]: cosines, then sines; what kernels::rope reads.
std::vector<float> make_rope_table(const RopeConfig& rope, int head_dim, int max_positions);

}  // namespace jigsaw
