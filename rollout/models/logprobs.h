// Log-probs of a given sequence: what `jigsaw logprobs` prints.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/lane.h"
#include "core/result.h"
#include "rollout/models/transformer.h"

namespace jigsaw {

// result[i] = log softmax(logits at position i)[tokens[i + 1]], natural log, temperature 1: tokens.size() - 1 values,
// none for a single token. Prefills in chunks over KV blocks of its own. kInvalidArgument when `tokens` is empty, holds
// an id outside of the vocabulary, or is longer than the transformer's max_positions.
Result<std::vector<float>> sequence_logprobs(Transformer& transformer, Lane& lane,
                                             std::span<const std::int32_t> tokens);

}  // namespace jigsaw
