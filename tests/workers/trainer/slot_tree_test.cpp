#include "workers/trainer/slot_tree.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "core/philox.h"

namespace jigsaw {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(SlotTreeTest, FiveSlots) {
  EXPECT_THAT(slot_tree(5), ElementsAre(ElementsAre(SlotAddition{0, 1}, SlotAddition{2, 3}),
                                        ElementsAre(SlotAddition{0, 2}), ElementsAre(SlotAddition{0, 4})));
  EXPECT_THAT(slot_tree(1), IsEmpty());
}

TEST(SlotTreeTest, EverySlotIsTakenInOnceAndLevelsAreIndependent) {
  for (int num_slots = 1; num_slots <= 130; ++num_slots) {
    std::vector<std::string> holds;  // which slots a buffer is the sum of
    for (int slot = 0; slot < num_slots; ++slot) holds.push_back(std::to_string(slot));
    std::set<int> taken;
    for (const auto& level : slot_tree(num_slots)) {
      std::set<int> touched;
      for (const auto& [dst, src] : level) {
        EXPECT_TRUE(touched.insert(dst).second && touched.insert(src).second);
        EXPECT_TRUE(taken.insert(src).second);
        EXPECT_FALSE(taken.contains(dst));
        holds[static_cast<std::size_t>(dst)] =
            "(" + holds[static_cast<std::size_t>(dst)] + " " + holds[static_cast<std::size_t>(src)] + ")";
      }
    }
    EXPECT_EQ(taken.size(), static_cast<std::size_t>(num_slots) - 1);
    EXPECT_FALSE(taken.contains(0));
    if (num_slots == 6) {
      EXPECT_EQ(holds[0], "(((0 1) (2 3)) (4 5))");
    }
  }
}

std::vector<std::vector<float>> random_slots(int num_slots, std::size_t length) {
  std::vector<std::vector<float>> slots(static_cast<std::size_t>(num_slots), std::vector<float>(length));
  for (std::size_t slot = 0; slot < slots.size(); ++slot) {
    for (std::size_t i = 0; i < length; ++i) {
      slots[slot][i] = static_cast<float>(philox_uniform(3, slot, i) - 0.5);
    }
  }
  return slots;
}

TEST(SlotTreeTest, SumsInTreeOrderToTheBit) {
  const std::size_t length = 1000;
  std::vector<std::vector<float>> slots = random_slots(5, length);
  std::vector<float> expected(length);
  for (std::size_t i = 0; i < length; ++i) {
    expected[i] = ((slots[0][i] + slots[1][i]) + (slots[2][i] + slots[3][i])) + slots[4][i];
  }
  std::vector<std::span<float>> spans(slots.begin(), slots.end());
  Lane lane(2);
  sum_slots(lane, spans);
  EXPECT_EQ(slots[0], expected);
}

// What the multi-worker reduction does: workers sum aligned runs of slots, then the rest of the tree joins them.
TEST(SlotTreeTest, AlignedRunsSummedApartGiveTheSameBits) {
  Lane lane(1);
  std::vector<std::vector<float>> together = random_slots(8, 100), apart = together;
  std::vector<std::span<float>> spans(together.begin(), together.end());
  sum_slots(lane, spans);
  for (std::size_t run = 0; run < 8; run += 4) {
    std::vector<std::span<float>> own(apart.begin() + static_cast<std::ptrdiff_t>(run),
                                      apart.begin() + static_cast<std::ptrdiff_t>(run) + 4);
    sum_slots(lane, own);
  }
  add_slot(lane, apart[0], apart[4]);
  EXPECT_EQ(apart[0], together[0]);
}

}  // namespace
}  // namespace jigsaw
