// Summing gradient slots by the fixed tree (workers/trainer/slot_tree.h) when the slots come one by one and are spread
// over workers. A node (slot d, level l) is the sum of slots d .. d + 2^l - 1, as far as they exist. Whoever holds both
// children of a node adds them, left += right; the value of a node never depends on who did.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "core/lane.h"
#include "rollout/models/policy_weights.h"

namespace jigsaw {

struct TreeNode {
  int slot = 0;
  int level = 0;
  auto operator<=>(const TreeNode&) const = default;
};

// The sums that remain on `worker` once it has added all it can of the slots it owns; ascending. With one worker: the
// root alone.
std::vector<TreeNode> partial_sums(std::span<const std::uint32_t> owners, std::uint32_t worker);

class SlotSum {
 public:
  explicit SlotSum(int num_slots) : num_slots_(num_slots) {}

  // Takes a node's sum in and adds up all that has become possible. Buffers are of equal length.
  void add(Lane& lane, TreeNode node, AlignedFloats sum);
  // What could not be added further; the root alone once everything is in.
  std::map<TreeNode, AlignedFloats>& partials() { return partials_; }
  // A buffer that an addition has set free, or a new one; contents are arbitrary.
  AlignedFloats take_buffer(std::size_t size);

 private:
  int num_slots_;
  std::map<TreeNode, AlignedFloats> partials_;
  std::vector<AlignedFloats> free_;
};

}  // namespace jigsaw
