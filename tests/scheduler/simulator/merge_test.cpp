// Long tails that merge on simulated workers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <random>

#include "scheduler/cost/profile.h"
#include "scheduler/simulator/workload_durations.h"

namespace jigsaw {
namespace {

// A pass of one sequence takes a second, and each other one width_s more.
ModelCost cost_of(double width_s) {
  ModelCost cost;
  cost.decode = {{1, 1}, {101, 1 + 100 * width_s}};
  return cost;
}

std::vector<double> lefts(const std::vector<TailSequence>& sequences) {
  std::vector<double> left;
  for (const TailSequence& sequence : sequences) left.push_back(sequence.left);
  return left;
}

TEST(SimulatedTailTest, SequencesEndAsTheirPassesCost) {
  const SimulatedTail tail({{.left = 5}, {.left = 2}, {.left = 0}, {.left = 5}}, cost_of(0.5), 2, 1);
  ASSERT_EQ(tail.num_sequences(), 3);
  ASSERT_EQ(tail.ends().size(), 2u);
  EXPECT_DOUBLE_EQ(tail.ends()[0].work_s, 1 + 2 * 2 * 2);  // two passes of three, at 2 s, twice as slow
  EXPECT_EQ(tail.ends()[0].running, 2);
  EXPECT_DOUBLE_EQ(tail.ends()[0].decoded, 2);
  EXPECT_DOUBLE_EQ(tail.total_s(), 9 + 2 * 3 * 1.5);
  EXPECT_EQ(tail.ends()[1].running, 0);
}

TEST(SimulatedTailTest, WhatIsLeftGoesOnElsewhere) {
  const SimulatedTail a({{.context = 10, .left = 5}, {.context = 20, .left = 2}}, cost_of(0), 1);
  EXPECT_THAT(lefts(a.after(0)), testing::ElementsAre(2, 5));
  EXPECT_THAT(lefts(a.after(2.5)), testing::ElementsAre(2));  // the third pass was begun
  EXPECT_THAT(lefts(a.after(5)), testing::IsEmpty());
  const std::vector<TailSequence> moving = a.after(1);
  EXPECT_DOUBLE_EQ(moving[0].context, 21);
  EXPECT_DOUBLE_EQ(moving[0].decoded, 1);
  const SimulatedTail joined = SimulatedTail({{.left = 9}}, cost_of(0), 1).joined(2, moving, 0.25);
  EXPECT_EQ(joined.num_sequences(), 3);
  EXPECT_DOUBLE_EQ(joined.total_s(), 0.25 + 7);  // the longest of 7, 1 and 4
  // Before the lead time is over nothing has been decoded, and what is left of it is still to come.
  const SimulatedTail again = joined.joined(0.1, {}, 1);
  EXPECT_DOUBLE_EQ(again.total_s(), 1 + 0.15 + 7);
}

TEST(SimulatedTailTest, TakesWhatTheWorkloadsTailTakes) {
  const Profile profile = *Profile::load(std::filesystem::path(JIGSAW_SOURCE_DIR) / "configs/profiles/h100-tp4.yaml");
  for (const WorkloadFacts& facts : profile.workloads) {
    const Workload workload(facts, profile.bins);
    const PipelineSpec spec = workload.spec("p", 2);
    WorkloadDurations durations(workload, **profile.model(facts.model), spec, 3, 2);
    const Graph graph = Graph::build(spec, 1, 2);
    for (const Node& node : graph.nodes()) {
      if (node.kind != SubStageKind::kDecodeTail || node.turn + 1 != spec.turns) continue;
      const auto tail = durations.tail(1, node);
      ASSERT_TRUE(tail) << facts.name;
      EXPECT_NEAR(tail->total_s(), durations.seconds(1, node), 1e-6 * tail->total_s()) << facts.name;
      EXPECT_LT(tail->num_sequences(), profile.bins.tail_below) << facts.name;
      EXPECT_EQ(durations.completions(1, node.worker).size(), 512u) << facts.name;
    }
  }
}

// Sequences of given lengths on each worker, the same in each step; updates of a second.
class FixedTails : public SimulatedDurations {
 public:
  FixedTails(std::vector<std::vector<double>> lengths, ModelCost cost) : lengths_(std::move(lengths)), cost_(cost) {}
  double seconds(std::int64_t, const Node& node) override {
    if (node.kind == SubStageKind::kUpdate) return 1;
    return node.kind == SubStageKind::kDecodeTail ? of(node.worker).total_s() : 0;
  }
  double tokens(std::int64_t) override { return 100; }
  std::optional<SimulatedTail> tail(std::int64_t, const Node& node) override { return of(node.worker); }
  std::vector<Completion> completions(std::int64_t, int worker) override {
    std::vector<Completion> completions;
    for (const double tokens : lengths_[static_cast<std::size_t>(worker) - 1])
      completions.push_back({tokens, 0, false});
    return completions;
  }

 private:
  SimulatedTail of(int worker) const {
    std::vector<TailSequence> sequences;
    for (const double tokens : lengths_[static_cast<std::size_t>(worker) - 1]) sequences.push_back({.left = tokens});
    return SimulatedTail(std::move(sequences), cost_, 1);
  }

  std::vector<std::vector<double>> lengths_;
  ModelCost cost_;
};

SimulatedPipeline pipeline_of(const std::string& name, int steps, const std::vector<std::vector<double>>& lengths,
                              const ModelCost& cost) {
  SimulatedPipeline pipeline;
  pipeline.spec.name = name;
  pipeline.spec.steps = steps;
  pipeline.spec.prompts_per_step = static_cast<int>(lengths.size() * lengths[0].size());
  pipeline.durations = std::make_shared<FixedTails>(lengths, cost);
  pipeline.cost = cost;
  return pipeline;
}

Capacity capacity_of(int num_workers, bool can_merge) {
  Capacity capacity{.num_workers = num_workers};
  capacity.can_merge = can_merge;
  capacity.merge_s = 0.1;
  return capacity;
}

RunSummary run(const std::vector<SimulatedPipeline>& pipelines, const Capacity& capacity) {
  const Result<RunSummary> summary = simulate(pipelines, **make_policy("lookahead"), capacity);
  CHECK_MSG(summary.ok(), summary.error().message());
  return *summary;
}

// A step apart: tails of 10 s in time slices, 20 s, and two updates, 2 s. With the tails sorted onto a worker each:
// 0.1 + 10 and 2 s. The first step is run before anything can be predicted.
TEST(SimulatorMergeTest, TailsThatMergeFreeWorkersForTheOtherPipeline) {
  const std::vector<std::vector<double>> lengths = {{10}, {10}};
  const std::vector<SimulatedPipeline> pair = {pipeline_of("a", 5, lengths, cost_of(0)),
                                               pipeline_of("b", 5, lengths, cost_of(0))};
  const RunSummary apart = run(pair, capacity_of(2, false)), merged = run(pair, capacity_of(2, true));
  EXPECT_NEAR(apart.wall_s, 5 * 22, 1e-6);
  EXPECT_EQ(apart.migrations, 0);
  EXPECT_LE(merged.wall_s, 22 + 4 * 12.2);
  EXPECT_EQ(merged.migrations, 4 * 2);
  EXPECT_EQ(merged.tokens, apart.tokens);
}

TEST(SimulatorMergeTest, WhereEachSequenceCostsAsMuchAsAPassNothingMerges) {
  const std::vector<std::vector<double>> lengths = {{10}, {10}};
  const std::vector<SimulatedPipeline> pair = {pipeline_of("a", 5, lengths, cost_of(1)),
                                               pipeline_of("b", 5, lengths, cost_of(1))};
  EXPECT_EQ(run(pair, capacity_of(2, true)).migrations, 0);
}

TEST(SimulatorMergeTest, EveryRandomJobEndsWithEachNodeOnce) {
  std::mt19937 random(5);
  const auto draw = [&](int from, int to) {
    return from + static_cast<int>(random() % static_cast<unsigned>(to - from + 1));
  };
  std::int64_t migrations = 0;
  for (int round = 0; round < 60; ++round) {
    const int num_workers = draw(2, 12);
    std::vector<SimulatedPipeline> pipelines;
    for (int i = draw(2, 3); i > 0; --i) {
      std::vector<std::vector<double>> lengths(static_cast<std::size_t>(num_workers));
      const int count = draw(1, 3);
      for (auto& of_worker : lengths) {
        for (int j = 0; j < count; ++j) of_worker.push_back(draw(1, 30));
      }
      pipelines.push_back(pipeline_of("p" + std::to_string(i), draw(1, 4), lengths, cost_of(0.05 * draw(0, 3))));
      pipelines.back().spec.staleness = draw(0, 3);
    }
    std::map<NodeRef, int> ended;
    std::size_t expected = 0;
    for (std::size_t i = 0; i < pipelines.size(); ++i) {
      for (std::int64_t step = 1; step <= pipelines[i].spec.steps; ++step) {
        expected += Graph::build(pipelines[i].spec, step, num_workers).nodes().size();
      }
    }
    SimulationObserver observer;
    observer.on_node_end = [&](const TimelineEntry& entry, const Plan&) { ++ended[entry.node]; };
    observer.on_decision = [](double, const Plan& plan, const Decision& decision) {
      for (const MergeChoice& choice : decision.merge) EXPECT_TRUE(plan.can_merge(choice.from, choice.to));
    };
    const auto once = [&] {
      ended.clear();
      const Result<RunSummary> summary =
          simulate(pipelines, **make_policy("lookahead"), capacity_of(num_workers, true), observer);
      CHECK_MSG(summary.ok(), summary.error().message());
      return *summary;
    };
    const RunSummary first = once();
    EXPECT_EQ(ended.size(), expected) << round;
    for (const auto& [ref, times] : ended) EXPECT_EQ(times, 1) << round;
    for (std::size_t i = 0; i < pipelines.size(); ++i) {
      EXPECT_EQ(first.pipelines[i].steps, pipelines[i].spec.steps) << round;
    }
    const RunSummary second = once();
    EXPECT_EQ(first.wall_s, second.wall_s) << round;
    EXPECT_EQ(first.migrations, second.migrations) << round;
    migrations += first.migrations;
  }
  EXPECT_GT(migrations, 0);
}

}  // namespace
}  // namespace jigsaw
