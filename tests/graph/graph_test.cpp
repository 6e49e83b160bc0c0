#include "graph/graph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace jigsaw {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

PipelineSpec spec_of(int prompts, int group, bool reference = false, int updates = 1) {
  return {.name = "p",
          .steps = 4,
          .prompts_per_step = prompts,
          .group_size = group,
          .updates_per_step = updates,
          .grad_slots = 4,
          .needs_reference = reference,
          .checkpoint_every = 0,
          .checkpoints_kept = 2,
          .weight = 1,
          .deadline = {}};
}

std::vector<std::string> names(const Graph& graph) {
  std::vector<std::string> names;
  for (const Node& node : graph.nodes()) names.push_back(to_string(node));
  return names;
}

TEST(GraphTest, AStepIsRolloutThenUpdate) {
  const Graph graph = Graph::build(spec_of(4, 2), 1, 2);
  EXPECT_THAT(names(graph), ElementsAre("rollout@1", "rollout@2", "update#0@1", "update#0@2"));
  EXPECT_THAT(graph.predecessors(2), ElementsAre(0, 1));
  EXPECT_THAT(graph.node(1).samples, ElementsAre(4, 5, 6, 7));
}

TEST(GraphTest, ReferenceUpdatesAndLastCheckpointStandInOrder) {
  const Graph graph = Graph::build(spec_of(4, 2, true, 2), 4, 1);
  EXPECT_THAT(names(graph), ElementsAre("rollout@1", "logprob@1", "update#0@1", "update#1@1", "checkpoint@1"));
}

TEST(GraphTest, WorkersWithoutAPromptStillUpdate) {
  const Graph graph = Graph::build(spec_of(1, 8), 1, 3);
  EXPECT_THAT(names(graph), ElementsAre("rollout@3", "update#0@1", "update#0@2", "update#0@3"));
}

TEST(GraphTest, EveryShapeIsValid) {
  for (int prompts = 1; prompts <= 5; ++prompts) {
    for (int workers = 1; workers <= 6; ++workers) {
      const PipelineSpec spec = spec_of(prompts, 3, prompts % 2 == 0, prompts);
      EXPECT_TRUE(Graph::build(spec, 1, workers).validate(spec).ok())
          << prompts << " prompts, " << workers << " workers";
    }
  }
}

TEST(GraphTest, UpdatesShareOutTheSamples) {
  const PipelineSpec spec = spec_of(5, 2, false, 3);
  std::uint32_t next = 0;
  for (int update = 0; update < 3; ++update) {
    const auto [begin, end] = update_samples(spec, update);
    EXPECT_EQ(begin, next);
    EXPECT_LT(begin, end);
    EXPECT_EQ(begin % 2, 0u);
    next = end;
  }
  EXPECT_EQ(next, 10u);
}

TEST(GraphTest, CriticalPathIsTheLongestChain) {
  const Graph graph = Graph::build(spec_of(4, 2), 1, 2);
  const double seconds[] = {3, 5, 2, 1};
  EXPECT_EQ(graph.critical_path([&](int node) { return seconds[node]; }), 7);
}

TEST(GraphTest, SlotOwnersAreRunsOfNeighbours) {
  EXPECT_THAT(slot_owners(4, 1), ElementsAre(1, 1, 1, 1));
  EXPECT_THAT(slot_owners(4, 2), ElementsAre(1, 1, 2, 2));
  EXPECT_THAT(slot_owners(4, 3), ElementsAre(1, 1, 2, 3));
  EXPECT_THAT(slot_owners(2, 4), ElementsAre(1, 3));
}

TEST(GraphTest, PrintsAsTextAndDot) {
  const Graph graph = Graph::build(spec_of(4, 2), 1, 2);
  EXPECT_THAT(graph.to_text("p"), HasSubstr("update#0@2 <- rollout@1, rollout@2"));
  EXPECT_THAT(graph.to_dot("p"), HasSubstr("n0 -> n2;"));
}

}  // namespace
}  // namespace jigsaw
