// Simulated workers on which sub-stages slow each other down otherwise than the scheduler's table says at first.
#include <gtest/gtest.h>

#include <filesystem>

#include "scheduler/cost/profile.h"
#include "scheduler/simulator/workload_durations.h"

namespace jigsaw {
namespace {

class RefinementTest : public testing::Test {
 protected:
  std::vector<SimulatedPipeline> pair(int steps, int num_workers) {
    std::vector<SimulatedPipeline> pipelines;
    for (const std::string name : {"math-qwen3-4b-instruct", "gsm8k-qwen3-8b"}) {
      const WorkloadFacts& facts = **profile_.workload(name);
      const ModelCost& model = **profile_.model(facts.model);
      const Workload workload(facts, profile_.bins);
      SimulatedPipeline pipeline;
      pipeline.spec = workload.spec(name, steps);
      pipeline.cost = model;
      pipeline.durations = std::make_shared<WorkloadDurations>(workload, model, pipeline.spec, 5, num_workers);
      pipelines.push_back(pipeline);
    }
    return pipelines;
  }

  struct Outcome {
    double wall_s = 0;
    SlowdownTable learnt;
  };
  // `known` is what the scheduler starts from.
  Outcome run(const std::vector<SimulatedPipeline>& pipelines, int num_workers, const SlowdownTable& known) {
    Capacity capacity{.num_workers = num_workers};
    capacity.splits = {0.2, 0.35, 0.5, 0.65, 0.8};
    capacity.slowdown = known;
    Outcome outcome;
    SimulationObserver observer;
    observer.on_end = [&](const SlowdownTable& table) { outcome.learnt = table; };
    const auto summary = simulate(pipelines, **make_policy("lookahead"), capacity, observer, {1, 1}, &truth_);
    CHECK_MSG(summary.ok(), summary.error().message());
    outcome.wall_s = summary->wall_s;
    return outcome;
  }

  // Of what ran together for long, the mean of |learnt / true - 1| over pairs that have both tails and updates.
  double error_of(const SlowdownTable& table) const {
    double sum = 0;
    int count = 0;
    using enum SubStageKind;
    for (const auto& [first, second] :
         {std::pair{kDecodeTail, kUpdate}, {kDecodeBulk, kUpdate}, {kDecodeBulk, kDecodeTail}}) {
      const auto learnt = table.factors(first, second, 0.5), real = truth_.factors(first, second, 0.5);
      sum += std::abs(learnt.first / real.first - 1) + std::abs(learnt.second / real.second - 1);
      count += 2;
    }
    return sum / count;
  }

  static SlowdownTable scaled(const SlowdownTable& table, double by) {
    SlowdownTable result;
    for (const auto& row : table.rows())
      result.set(row.first, row.second, row.share,
                 {std::max(1.0, row.factors.first * by), std::max(1.0, row.factors.second * by)});
    return result;
  }

  const Profile profile_ = *Profile::load(std::filesystem::path(JIGSAW_SOURCE_DIR) / "configs/profiles/h100-tp4.yaml");
  const SlowdownTable truth_ = profile_.slowdown_table();
};

// One that is too good. One that is too bad keeps sub-stages apart, so that nothing is seen of them together.
TEST_F(RefinementTest, ATableThatIsTooGoodComesCloseToTheTruth) {
  const SlowdownTable bad = scaled(truth_, 0.5);
  const Outcome outcome = run(pair(30, 1), 1, bad);
  EXPECT_LT(error_of(outcome.learnt), 0.35 * error_of(bad));
  EXPECT_LT(error_of(outcome.learnt), 0.1);
}

TEST_F(RefinementTest, WithATrueTableNothingMuchChanges) {
  const Outcome outcome = run(pair(20, 1), 1, truth_);
  EXPECT_LT(error_of(outcome.learnt), 1e-6);
}

TEST_F(RefinementTest, BadTablesCostLittleInTheLongRun) {
  const double informed_s = run(pair(30, 2), 2, truth_).wall_s;
  for (const double wrong : {0.5, 2.0}) {
    EXPECT_LT(run(pair(30, 2), 2, scaled(truth_, wrong)).wall_s, 1.03 * informed_s) << wrong;
  }
  EXPECT_LT(run(pair(30, 2), 2, SlowdownTable()).wall_s, 1.05 * informed_s);
}

TEST_F(RefinementTest, TheSameEventsGiveTheSameTable) {
  const Outcome first = run(pair(6, 2), 2, SlowdownTable()), second = run(pair(6, 2), 2, SlowdownTable());
  EXPECT_EQ(first.wall_s, second.wall_s);
  EXPECT_EQ(first.learnt.rows(), second.learnt.rows());
}

}  // namespace
}  // namespace jigsaw
