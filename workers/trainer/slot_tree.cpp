#include "workers/trainer/slot_tree.h"

#include <cstddef>

#include "core/check.h"
#include "rollout/kernels/kernels.h"

namespace jigsaw {

std::vector<std::vector<SlotAddition>> slot_tree(int num_slots) {
  CHECK(num_slots >= 1);
  std::vector<std::vector<SlotAddition>> levels;
  for (std::int64_t stride = 1; stride < num_slots; stride *= 2) {
    std::vector<SlotAddition>& level = levels.emplace_back();
    for (std::int64_t dst = 0; dst + stride < num_slots; dst += 2 * stride) {
      level.push_back({static_cast<int>(dst), static_cast<int>(dst + stride)});
    }
  }
  return levels;
}

void add_slot(Lane& lane, std::span<float> dst, std::span<const float> src) {
  CHECK(dst.size() == src.size());
  kernels::add(lane, dst.size(), dst.data(), src.data(), dst.data());
}

void sum_slots(Lane& lane, std::span<const std::span<float>> slots) {
  for (const auto& level : slot_tree(static_cast<int>(slots.size()))) {
    for (const auto& [dst, src] : level) {
      add_slot(lane, slots[static_cast<std::size_t>(dst)], slots[static_cast<std::size_t>(src)]);
    }
  }
}

}  // namespace jigsaw
