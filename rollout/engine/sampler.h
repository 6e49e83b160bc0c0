// Draws the next token. A pure function of the logits row, the parameters, the key and the draw's index, so that a
// sequence gets the same tokens in any batch and on any worker. Thread-safe.
//
// Probabilities are exp((logit - max) / temperature), unnormalised. With top_k, the k largest logits are left (ties:
// the lower id); with top_p, of these the shortest run in descending order whose mass is at least top_p of theirs
// (ties: the lower id first). The token is found by inverse CDF: in order of id when all tokens take part, else in
// descending order.
#pragma once

#include <cstdint>
#include <span>

#include "rollout/engine/rollout_engine.h"

namespace jigsaw {

// Below this temperature the largest logit is taken, as with 0: 1/temperature would leave the range of float.
inline constexpr float kTemperatureMin = 1e-6f;

// `max_logit` is the largest of `logits`. Draw number `draw_index` of the sequence with `random_key`: completion token
// t is draw t. A row without a usable distribution (NaN, infinity) gives its largest number's id, or 0.
TokenId sample_token(std::span<const float> logits, float max_logit, const SamplingParams& params,
                     std::uint64_t random_key, std::uint64_t draw_index);

}  // namespace jigsaw
