#include "graph/graph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "graph/window.h"

namespace jigsaw {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

PipelineSpec spec_of(int prompts, int group, bool reference = false, int updates = 1) {
  PipelineSpec spec;
  spec.name = "p";
  spec.steps = 4;
  spec.prompts_per_step = prompts;
  spec.group_size = group;
  spec.updates_per_step = updates;
  spec.grad_slots = 4;
  spec.needs_reference = reference;
  return spec;
}

std::vector<std::string> names(const Graph& graph) {
  std::vector<std::string> names;
  for (const Node& node : graph.nodes()) names.push_back(to_string(node));
  return names;
}

TEST(GraphTest, AStepIsRolloutThenUpdate) {
  const Graph graph = Graph::build(spec_of(4, 2), 1, 2);
  EXPECT_THAT(names(graph), ElementsAre("prefill@1", "decode.tail@1", "reward@1", "prefill@2", "decode.tail@2",
                                        "reward@2", "update#0@1", "update#0@2"));
  EXPECT_THAT(graph.predecessors(6), ElementsAre(2, 5));
  EXPECT_THAT(graph.predecessors(4), ElementsAre(3));
  EXPECT_THAT(graph.node(3).samples, ElementsAre(4, 5, 6, 7));
}

TEST(GraphTest, ReferenceUpdatesAndLastCheckpointStandInOrder) {
  const Graph graph = Graph::build(spec_of(4, 2, true, 2), 4, 1);
  EXPECT_THAT(names(graph), ElementsAre("prefill@1", "decode.bulk@1", "decode.tail@1", "reward@1", "logprob@1",
                                        "update#0@1", "update#1@1", "checkpoint@1"));
}

TEST(GraphTest, WorkersWithoutAPromptStillUpdate) {
  const Graph graph = Graph::build(spec_of(1, 8), 1, 3);
  EXPECT_THAT(names(graph), ElementsAre("prefill@3", "decode.bulk@3", "decode.tail@3", "reward@3", "update#0@1",
                                        "update#0@2", "update#0@3"));
}

TEST(GraphTest, ToolsMakeAChainATurn) {
  PipelineSpec spec = spec_of(1, 2);
  spec.turns = 2;
  EXPECT_THAT(names(Graph::build(spec, 1, 1)), ElementsAre("prefill@1", "decode.tail@1", "tool/2@1", "prefill/2@1",
                                                           "decode.tail/2@1", "reward/2@1", "update#0@1"));
}

TEST(GraphTest, EveryShapeIsValid) {
  for (int prompts = 1; prompts <= 5; ++prompts) {
    for (int workers = 1; workers <= 6; ++workers) {
      for (int staleness = 0; staleness <= 3; ++staleness) {
        PipelineSpec spec = spec_of(prompts, 3, prompts % 2 == 0, prompts);
        spec.staleness = staleness;
        spec.turns = 1 + prompts % 3;
        spec.checkpoint_every = workers % 3;
        const Status status = Window::build(spec, 1, 4, workers).validate(spec);
        EXPECT_TRUE(status.ok()) << prompts << " prompts, " << workers << " workers: " << status.error().message();
      }
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

TEST(WindowTest, CriticalPathIsTheLongestChainOverSteps) {
  const Window window = Window::build(spec_of(4, 2), 1, 2, 2);
  // Prefill, tail and reward of each worker, then the updates.
  const double seconds[] = {1, 1, 1, 2, 2, 1, 2, 1};
  EXPECT_EQ(window.critical_path([&](std::int64_t, int node) { return seconds[node]; }), 2 * (5 + 2));
}

TEST(WindowTest, OneStepOffHidesTheShorterOfRolloutAndUpdate) {
  PipelineSpec spec = spec_of(1, 1);
  spec.staleness = 1;
  spec.steps = 100;
  const Window window = Window::build(spec, 1, 10, 1);
  const auto seconds = [&](std::int64_t step, int index) {
    const SubStageKind kind = window.graph(step).node(index).kind;
    return kind == SubStageKind::kPrefill ? 5.0 : kind == SubStageKind::kUpdate ? 3.0 : 0.0;
  };
  EXPECT_EQ(window.critical_path(seconds), 10 * 5 + 3);  // ten rollouts, the last update
}

TEST(GraphTest, SlotOwnersAreRunsOfNeighbours) {
  EXPECT_THAT(slot_owners(4, 1), ElementsAre(1, 1, 1, 1));
  EXPECT_THAT(slot_owners(4, 2), ElementsAre(1, 1, 2, 2));
  EXPECT_THAT(slot_owners(4, 3), ElementsAre(1, 1, 2, 3));
  EXPECT_THAT(slot_owners(2, 4), ElementsAre(1, 3));
}

TEST(WindowTest, PrintsAsTextDotAndJson) {
  const Window window = Window::build(spec_of(4, 2), 1, 2, 2);
  EXPECT_THAT(window.to_text("p"), HasSubstr("update#0@2 s1 <- reward@1 s1, reward@2 s1"));
  EXPECT_THAT(window.to_text("p"), HasSubstr("prefill@1 s2 (4 samples) <- update#0@1 s1, update#0@2 s1"));
  EXPECT_THAT(window.to_dot("p"), HasSubstr("n2 -> n6;"));
  const auto json = nlohmann::json::parse(window.to_json("p"));
  EXPECT_EQ(json["nodes"].size(), 16u);
  EXPECT_EQ(json["nodes"][6]["kind"], "update");
}

}  // namespace
}  // namespace jigsaw
