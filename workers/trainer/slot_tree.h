// The fixed binary tree by which the gradients of S slots become one. Floating-point sums depend on their order, so the
// order is a function of S alone: who computes a slot, and on how many workers, does not change a bit.
//
//     level 0    0+1   2+3   4          S = 5: slot d takes in slot d + 2^level, where there is one
//     level 1      0+2       4
//     level 2           0+4             the sum stands in slot 0
//
// With slots dealt out in aligned runs of a power of two, the lower levels are sums within a worker.
#pragma once

#include <span>
#include <vector>

#include "core/lane.h"

namespace jigsaw {

struct SlotAddition {
  int dst = 0;  // buffer of slot dst += buffer of slot src
  int src = 0;
  bool operator==(const SlotAddition&) const = default;
};

// By level; the additions of one level touch different slots, so they may run at the same time, level after level.
// Empty for one slot. num_slots >= 1.
std::vector<std::vector<SlotAddition>> slot_tree(int num_slots);

// dst += src, element by element: what every addition of the tree is.
void add_slot(Lane& lane, std::span<float> dst, std::span<const float> src);

// Runs the whole tree over buffers of equal length, in slot order; the sum stands in slots[0], the others hold partial
// sums.
void sum_slots(Lane& lane, std::span<const std::span<float>> slots);

}  // namespace jigsaw
