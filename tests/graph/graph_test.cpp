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

// Whatever is fast, rollouts are n steps ahead at most and never more than one of them is under way.
TEST(WindowTest, RolloutsRunAheadOfUpdatesByTheStalenessAndNoMore) {
  for (const int staleness : {1, 2, 3}) {
    PipelineSpec spec = spec_of(1, 1);
    spec.staleness = staleness;
    spec.steps = 100;
    const Window window = Window::build(spec, 1, 10, 1);
    ASSERT_TRUE(window.validate(spec).ok());
    const auto longest = [&](double rollout_s, double update_s) {
      return window.critical_path([&](std::int64_t step, int index) {
        const SubStageKind kind = window.graph(step).node(index).kind;
        return kind == SubStageKind::kPrefill ? rollout_s : kind == SubStageKind::kUpdate ? update_s : 0.0;
      });
    };
    EXPECT_EQ(longest(5, 3), 10 * 5 + 3);  // ten rollouts, the last update
    EXPECT_EQ(longest(3, 5), 3 + 10 * 5);  // the first rollout, ten updates
    // One slow update: rollouts go on beside it as far as they may.
    const double slow_s = window.critical_path([&](std::int64_t step, int index) {
      const SubStageKind kind = window.graph(step).node(index).kind;
      if (kind == SubStageKind::kPrefill) return 5.0;
      return kind != SubStageKind::kUpdate ? 0.0 : step == 1 ? 100.0 : 1.0;
    });
    // Rollouts 1 to 1 + n have the first weights, so rollout 2 + n is the first to wait for it.
    EXPECT_EQ(slow_s, 5 + 100 + (9 - staleness) * 5 + 1) << staleness;
  }
}

// An update changes the weights, and may do so once they are kept for the rollout that is to use them.
TEST(WindowTest, SyncStandsBetweenTheUpdatesBeforeAndAfterItsWeights) {
  for (const int staleness : {2, 3}) {
    PipelineSpec spec = spec_of(1, 1);
    spec.staleness = staleness;
    spec.steps = 100;
    spec.checkpoint_every = 1;
    const std::string text = Window::build(spec, 1, 20, 1).to_text("p");
    const auto step = [](std::int64_t number) { return " s" + std::to_string(number); };
    const std::int64_t s = 10;
    EXPECT_THAT(text, HasSubstr("  sync@1" + step(s) + " <- update#0@1" + step(s - 1 - staleness) + ", reward@1" +
                                step(s - staleness) + ", sync@1" + step(s - 1) + ", checkpoint@1" +
                                step(s - 1 - staleness) + "\n"));
    EXPECT_THAT(text, HasSubstr("  prefill@1" + step(s) + " (1 samples) <- sync@1" + step(s) + ", reward@1" +
                                step(s - 1) + "\n"));
    EXPECT_THAT(text, HasSubstr("  update#0@1" + step(s) + " <- reward@1" + step(s) + ", checkpoint@1" + step(s - 1) +
                                ", sync@1" + step(s + staleness) + ", update#0@1" + step(s - 1) + "\n"));
  }
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
