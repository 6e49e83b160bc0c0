#include "workers/reduction/slot_sum.h"

#include <optional>
#include <set>
#include <utility>

#include "core/check.h"
#include "workers/trainer/slot_tree.h"

namespace jigsaw {
namespace {

// The node that `node` is added into next, or which it becomes where it has no sibling; empty for the root.
std::optional<TreeNode> parent_of(TreeNode node, int num_slots) {
  if (node.slot == 0 && (std::int64_t{1} << node.level) >= num_slots) return std::nullopt;
  const int width = 1 << node.level;
  return TreeNode{(node.slot / width) % 2 == 1 ? node.slot - width : node.slot, node.level + 1};
}

TreeNode sibling_of(TreeNode node) {
  const int width = 1 << node.level;
  return {(node.slot / width) % 2 == 1 ? node.slot - width : node.slot + width, node.level};
}

}  // namespace

std::vector<TreeNode> partial_sums(std::span<const std::uint32_t> owners, std::uint32_t worker) {
  const int num_slots = static_cast<int>(owners.size());
  std::set<TreeNode> nodes;
  for (int slot = 0; slot < num_slots; ++slot) {
    if (owners[static_cast<std::size_t>(slot)] != worker) continue;
    TreeNode node{slot, 0};
    while (const auto parent = parent_of(node, num_slots)) {
      const TreeNode sibling = sibling_of(node);
      if (sibling.slot < num_slots && nodes.erase(sibling) == 0) break;
      node = *parent;
    }
    nodes.insert(node);
  }
  return {nodes.begin(), nodes.end()};
}

void SlotSum::add(Lane& lane, TreeNode node, AlignedFloats sum) {
  while (const auto parent = parent_of(node, num_slots_)) {
    const TreeNode sibling = sibling_of(node);
    if (sibling.slot < num_slots_) {
      const auto other = partials_.find(sibling);
      if (other == partials_.end()) break;
      AlignedFloats left = std::move(other->second), right = std::move(sum);
      if (node.slot < sibling.slot) std::swap(left, right);
      partials_.erase(other);
      add_slot(lane, left.span(), right.span());
      sum = std::move(left);
      free_.push_back(std::move(right));
    }
    node = *parent;
  }
  const bool inserted = partials_.emplace(node, std::move(sum)).second;
  CHECK_MSG(inserted, "a slot was added twice");
}

AlignedFloats SlotSum::take_buffer(std::size_t size) {
  if (free_.empty()) return AlignedFloats(size);
  AlignedFloats buffer = std::move(free_.back());
  free_.pop_back();
  CHECK(buffer.size() == size);
  return buffer;
}

}  // namespace jigsaw
