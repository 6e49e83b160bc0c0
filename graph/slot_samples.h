// Which samples of an update's batch make up which gradient slot: what the gradient's bits follow from, together with
// the slot tree (workers/trainer/slot_tree.h).
#pragma once

#include <cstdint>
#include <utility>

namespace jigsaw {

// Samples [first, second) of slot `slot`: sample i belongs to slot i * num_slots / num_samples, so slots are runs of
// neighbours, by index alone.
inline std::pair<int, int> samples_of_slot(int num_samples, int num_slots, int slot) {
  const auto first = [&](std::int64_t of) { return static_cast<int>((of * num_samples + num_slots - 1) / num_slots); };
  return {first(slot), first(slot + 1)};
}

}  // namespace jigsaw
