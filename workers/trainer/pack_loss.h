// The loss of a pack, by LibTorch, added to the sums of what trains it.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "core/result.h"
#include "workers/trainer/slot_batch.h"
#include "workers/trainer/torch_functions.h"

namespace jigsaw {

// logprobs, entropies: one for each token drawn of `samples`. Returns the gradient of the loss, one a log-prob. Errors
// begin with `name`; a loss that is not finite is one.
Result<std::vector<float>> add_pack_loss(const std::string& name, const AlgorithmConfig& algorithm,
                                         const LossDenominators& denominators, std::span<const float> logprobs,
                                         std::span<const float> entropies, std::span<const LossSample> samples,
                                         SlotResult& result);

}  // namespace jigsaw
