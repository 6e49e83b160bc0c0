#include "workers/reduction/slot_sum.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "core/philox.h"
#include "workers/trainer/slot_tree.h"

namespace jigsaw {
namespace {

using testing::ElementsAre;

constexpr std::size_t kFloats = 37;

AlignedFloats slot_gradient(int slot) {
  AlignedFloats gradient(kFloats);
  for (std::size_t i = 0; i < kFloats; ++i) {
    gradient.data()[i] = static_cast<float>(philox_uniform(3, static_cast<std::uint64_t>(slot), i) - 0.5);
  }
  return gradient;
}

// What the tree of slot_tree.h gives when all slots are in one place.
AlignedFloats expected_sum(Lane& lane, int num_slots) {
  std::vector<AlignedFloats> slots;
  std::vector<std::span<float>> spans;
  for (int slot = 0; slot < num_slots; ++slot) slots.push_back(slot_gradient(slot));
  for (AlignedFloats& slot : slots) spans.push_back(slot.span());
  sum_slots(lane, spans);
  return std::move(slots[0]);
}

TEST(SlotSumTest, AnyOwnersAndAnyOrderGiveTheBitsOfTheTree) {
  Lane lane(1);
  for (int num_slots = 1; num_slots <= 11; ++num_slots) {
    const AlignedFloats expected = expected_sum(lane, num_slots);
    for (std::uint32_t num_workers = 1; num_workers <= 4; ++num_workers) {
      for (std::uint64_t draw = 0; draw < 8; ++draw) {
        // Draw 0 deals out runs of neighbours, as the controller does; the others anything.
        std::vector<std::uint32_t> owners;
        for (int slot = 0; slot < num_slots; ++slot) {
          const auto random =
              static_cast<std::uint32_t>(philox_uniform(draw, 7, static_cast<std::uint64_t>(slot)) * num_workers);
          owners.push_back(
              1 + (draw == 0 ? static_cast<std::uint32_t>(slot) * num_workers / static_cast<std::uint32_t>(num_slots)
                             : random));
        }
        SlotSum total(num_slots);
        for (std::uint32_t worker = num_workers; worker >= 1; --worker) {
          SlotSum own(num_slots);
          for (int slot = 0; slot < num_slots; ++slot) {
            if (owners[static_cast<std::size_t>(slot)] == worker) own.add(lane, {slot, 0}, slot_gradient(slot));
          }
          std::vector<TreeNode> left;
          for (const auto& [node, sum] : own.partials()) left.push_back(node);
          ASSERT_EQ(left, partial_sums(owners, worker));
          for (auto& [node, sum] : own.partials()) total.add(lane, node, std::move(sum));
        }
        ASSERT_EQ(total.partials().size(), 1u);
        const AlignedFloats& sum = total.partials().begin()->second;
        ASSERT_EQ(std::memcmp(sum.data(), expected.data(), kFloats * sizeof(float)), 0)
            << num_slots << " slots, " << num_workers << " workers";
      }
    }
  }
}

TEST(SlotSumTest, RunsOfNeighboursLeaveOneSumAWorker) {
  const std::vector<std::uint32_t> owners = {1, 1, 2, 2};
  EXPECT_THAT(partial_sums(owners, 1), ElementsAre(TreeNode{0, 1}));
  EXPECT_THAT(partial_sums(owners, 2), ElementsAre(TreeNode{2, 1}));
  EXPECT_TRUE(partial_sums(owners, 3).empty());
}

TEST(SlotSumDeathTest, ASlotIsAddedOnce) {
  Lane lane(1);
  SlotSum sum(4);
  sum.add(lane, {0, 0}, slot_gradient(0));
  EXPECT_DEATH(sum.add(lane, {0, 0}, slot_gradient(0)), "twice");
}

}  // namespace
}  // namespace jigsaw
