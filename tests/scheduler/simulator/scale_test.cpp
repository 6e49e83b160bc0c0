// What grows with the number of workers and pipelines: counted, not timed.
#include <gtest/gtest.h>

#include <filesystem>

#include "scheduler/cost/profile.h"
#include "scheduler/simulator/workload_durations.h"

namespace jigsaw {
namespace {

// The look-ahead, with what it was asked.
class CountingPolicy : public Policy {
 public:
  std::string_view name() const override { return "counting"; }
  Decision choose(const Plan& plan, const Capacity& capacity, Clock::TimePoint now) const override {
    ++decisions;
    touched += static_cast<std::int64_t>(plan.touched().size());
    return lookahead_->choose(plan, capacity, now);
  }

  mutable std::int64_t decisions = 0, touched = 0;

 private:
  const std::unique_ptr<Policy> lookahead_ = *make_policy("lookahead");
};

struct Counts {
  std::int64_t nodes = 0, nodes_expected = 0, decisions = 0, touched = 0;
};

class ScaleTest : public testing::Test {
 protected:
  Counts run(int num_workers, int num_pipelines) {
    std::vector<SimulatedPipeline> pipelines;
    Counts counts;
    for (int i = 0; i < num_pipelines; ++i) {
      const WorkloadFacts& facts = profile_.workloads[static_cast<std::size_t>(i) % profile_.workloads.size()];
      const ModelCost& model = **profile_.model(facts.model);
      const Workload workload(facts, profile_.bins);
      SimulatedPipeline pipeline;
      pipeline.spec = workload.spec("p" + std::to_string(i), 3);
      pipeline.cost = model;
      pipeline.durations = std::make_shared<WorkloadDurations>(workload, model, pipeline.spec,
                                                               static_cast<std::uint64_t>(i), num_workers);
      for (std::int64_t step = 1; step <= 3; ++step) {
        counts.nodes_expected += std::ssize(Graph::build(pipeline.spec, step, num_workers).nodes());
      }
      pipelines.push_back(std::move(pipeline));
    }
    Capacity capacity{.num_workers = num_workers};
    capacity.can_merge = true;
    capacity.slowdown = profile_.slowdown_table();
    SimulationObserver observer;
    observer.on_node_end = [&](const TimelineEntry&, const Plan&) { ++counts.nodes; };
    const CountingPolicy policy;
    const auto summary = simulate(pipelines, policy, capacity, observer,
                                  std::vector<double>(static_cast<std::size_t>(num_pipelines), 1.0));
    EXPECT_TRUE(summary.ok()) << summary.error().message();
    counts.decisions = policy.decisions;
    counts.touched = policy.touched;
    return counts;
  }

  const Profile profile_ = *Profile::load(std::filesystem::path(JIGSAW_SOURCE_DIR) / "configs/profiles/h100-tp4.yaml");
};

// So that a decision costs what has changed, not what there is.
TEST_F(ScaleTest, DecisionsAndWhatTheyLookAtGrowWithTheEventsOnly) {
  for (const auto& [num_workers, num_pipelines] : {std::pair{16, 4}, {64, 4}, {256, 16}}) {
    const Counts counts = run(num_workers, num_pipelines);
    EXPECT_EQ(counts.nodes, counts.nodes_expected) << num_workers;
    EXPECT_LT(counts.decisions, 2 * counts.nodes) << num_workers;
    EXPECT_LT(counts.touched, 4 * counts.nodes) << num_workers;
    std::printf("%d workers, %d pipelines: %ld nodes, %ld decisions, %ld workers looked at\n", num_workers,
                num_pipelines, static_cast<long>(counts.nodes), static_cast<long>(counts.decisions),
                static_cast<long>(counts.touched));
  }
}

}  // namespace
}  // namespace jigsaw
