// Cosines and sines of the rotary embedding, computed once per model (conventions.md, "Models").
#pragma once

#include <vector>

#include "rollout/models/model_config.h"

namespace jigsaw {

// Radians per position of each of the head_dim/2 channel pairs, scaling applied.
std::vector<float> rope_frequencies(const RopeConfig& rope, int head_dim);

// [max_positions][2][head_dim/2]: cosines, then sines; what kernels::rope reads. Frequencies and angles are rounded to
// float, since the models were trained with such angles: with exact ones, log-probs of SmolLM2-135M at position 2000
// differ from those of transformers by 2e-4, so by 5e-5.
std::vector<float> make_rope_table(const RopeConfig& rope, int head_dim, int max_positions);

}  // namespace jigsaw
