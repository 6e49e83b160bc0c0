#include "rollout/engine/draft_tree.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace jigsaw {
namespace {

// A group whose texts agree and part in many ways.
DraftIndex branching_index(std::uint32_t seed) {
  std::mt19937 random(seed);
  DraftIndex index;
  for (int text = 0; text < 6; ++text) {
    std::vector<TokenId> tokens;
    for (int i = 0; i < 60; ++i) tokens.push_back(static_cast<TokenId>(random() % 10 == 0 ? random() % 5 : i % 7));
    index.extend(index.add_text(0), tokens);
  }
  return index;
}

DraftTree grown(const DraftIndex& index, const DraftLimits& limits) {
  DraftTree tree;
  DraftGrower grower;
  const DraftAcceptance acceptance;
  grower.grow(index, 0, acceptance, acceptance, limits, tree);
  return tree;
}

TEST(DraftTreeTest, EveryStepAddsAsManyNodesWhereTheyAreMostProbable) {
  for (std::uint32_t seed = 1; seed <= 30; ++seed) {
    const DraftIndex index = branching_index(seed);
    const DraftTree narrow = grown(index, {.width = 1, .num_nodes = 12, .probability_min = 0});
    const DraftTree wide = grown(index, {.width = 4, .num_nodes = 12, .probability_min = 0});
    ASSERT_EQ(narrow.nodes().size(), 12u) << seed;
    ASSERT_EQ(wide.nodes().size(), 12u) << seed;
    // One at a time is best first: probabilities never rise.
    EXPECT_TRUE(std::ranges::is_sorted(narrow.nodes(), std::greater<>(), &DraftNode::probability));
    for (const DraftTree& tree : {narrow, wide}) {
      for (std::size_t i = 0; i < tree.nodes().size(); ++i) {
        const DraftNode& node = tree.nodes()[i];
        EXPECT_LT(node.parent, static_cast<int>(i));
        EXPECT_EQ(tree.child(node.parent, node.token), static_cast<int>(i)) << "siblings have different tokens";
        if (node.parent < 0) continue;
        const DraftNode& parent = tree.nodes()[static_cast<std::size_t>(node.parent)];
        EXPECT_EQ(node.depth, parent.depth + 1);
        EXPECT_LE(node.probability, parent.probability);
      }
    }
  }
}

TEST(DraftTreeTest, DraftsNoDeeperThanAsked) {
  const DraftTree tree = grown(branching_index(3), {.width = 4, .num_nodes = 30, .depth = 2, .probability_min = 0});
  EXPECT_FALSE(tree.empty());
  for (const DraftNode& node : tree.nodes()) EXPECT_LE(node.depth, 2);
}

TEST(DraftTreeTest, TheMostProbableNodesAreTheBestTreeOfTheirNumber) {
  std::mt19937 random(11);
  for (int round = 0; round < 60; ++round) {
    DraftTree tree;
    for (int i = 0; i < 10; ++i) {
      const int parent = static_cast<int>(random() % static_cast<std::uint32_t>(i + 1)) - 1;
      const double above = parent < 0 ? 1 : tree.nodes()[static_cast<std::size_t>(parent)].probability;
      const int depth = parent < 0 ? 1 : tree.nodes()[static_cast<std::size_t>(parent)].depth + 1;
      tree.add({.token = i, .parent = parent, .depth = depth, .probability = above * (random() % 100) / 100});
    }
    for (int width = 1; width <= 10; ++width) {
      double best = 0;  // of all connected sub-trees with as many nodes
      for (unsigned set = 0; set < 1u << 10; ++set) {
        if (__builtin_popcount(set) != width) continue;
        double sum = 0;
        bool connected = true;
        for (unsigned i = 0; i < 10; ++i) {
          if ((set >> i & 1) == 0) continue;
          const DraftNode& node = tree.nodes()[i];
          connected = connected && (node.parent < 0 || (set >> node.parent & 1) != 0);
          sum += node.probability;
        }
        if (connected) best = std::max(best, sum);
      }
      std::vector<double> sorted;
      for (const DraftNode& node : tree.nodes()) sorted.push_back(node.probability);
      std::ranges::sort(sorted, std::greater<>());
      double sum = 0;
      for (int i = 0; i < width; ++i) sum += sorted[static_cast<std::size_t>(i)];
      EXPECT_DOUBLE_EQ(sum, best);
    }
  }
}

TEST(DraftTreeTest, KeptNodesStandInTheOrderOfBranches) {
  DraftTree tree;
  const int a = tree.add({.token = 1, .depth = 1, .probability = 0.4});
  const int b = tree.add({.token = 2, .depth = 1, .probability = 0.5});
  const int c = tree.add({.token = 3, .parent = a, .depth = 2, .probability = 0.3});
  tree.add({.token = 4, .parent = b, .depth = 2, .probability = 0.01});
  tree.add({.token = 5, .parent = b, .depth = 2, .probability = 0.2});
  tree.add({.token = 6, .parent = c, .depth = 3, .probability = 0.1});
  tree.add({.token = 7, .parent = b, .depth = 2, .probability = 0.1});
  tree.keep(std::vector<std::uint8_t>{1, 1, 1, 0, 1, 1, 1});
  std::vector<TokenId> tokens;
  std::vector<int> parents;
  for (const DraftNode& node : tree.nodes()) {
    tokens.push_back(node.token);
    parents.push_back(node.parent);
  }
  EXPECT_EQ(tokens, (std::vector<TokenId>{2, 5, 7, 1, 3, 6}));
  EXPECT_EQ(parents, (std::vector<int>{-1, 0, 0, -1, 3, 4}));
}

TEST(DraftAcceptanceTest, LearnsHowOftenDraftsAreRight) {
  DraftAcceptance acceptance;
  const DraftAcceptance guess;
  for (int i = 0; i < 200; ++i) acceptance.record(3, 1, i % 4 == 0);
  EXPECT_NEAR(acceptance.probability(3, guess), 0.25, 0.05);
  // Two that share the evidence: one of them is right each time, so together they are certain.
  for (int i = 0; i < 200; ++i) {
    acceptance.record(10, 0.75, i % 4 != 0);
    acceptance.record(10, 0.25, i % 4 == 0);
  }
  EXPECT_NEAR(acceptance.probability(10, guess), 1, 0.05);
  for (int i = 0; i < 500; ++i) acceptance.record(10, 1, false);
  EXPECT_LT(acceptance.probability(10, guess), 0.1);
}

}  // namespace
}  // namespace jigsaw
