// The loss of a pack, by LibTorch, added to the sums of what trains it.
#pragma once

#include <span>
#include <string>

#include "core/result.h"
#include "workers/trainer/slot_batch.h"
#include "workers/trainer/torch_functions.h"

namespace jigsaw {

// Runs `pack` forward and backward. `entropies` are read after the forward: one for each token of `samples`. Errors
// begin with `name`; a loss that is not finite is one, and then there is no backward.
Status add_pack_loss(const std::string& name, const AlgorithmConfig& algorithm, const LossDenominators& denominators,
                     const PackPass& pack, std::span<const LossSample> samples, std::span<const float> entropies,
                     SlotResult& result);

}  // namespace jigsaw
