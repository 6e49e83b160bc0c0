#include "scheduler/simulator/simulator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "scheduler/cost/profile.h"
#include "scheduler/simulator/workload_durations.h"

namespace jigsaw {
namespace {

using testing::HasSubstr;

// The same for all workers and steps, by kind.
class FixedDurations : public SimulatedDurations {
 public:
  explicit FixedDurations(std::map<SubStageKind, double> seconds) : seconds_(std::move(seconds)) {}
  double seconds(std::int64_t, const Node& node) override { return seconds_[node.kind]; }
  double tokens(std::int64_t) override { return 100; }

 private:
  std::map<SubStageKind, double> seconds_;
};

SimulatedPipeline pipeline_of(const std::string& name, int steps, std::map<SubStageKind, double> seconds) {
  SimulatedPipeline pipeline;
  pipeline.spec.name = name;
  pipeline.spec.steps = steps;
  pipeline.spec.prompts_per_step = 8;
  pipeline.durations = std::make_shared<FixedDurations>(std::move(seconds));
  return pipeline;
}

SimulatedPipeline computing(const std::string& name, int steps) {
  return pipeline_of(name, steps, {{SubStageKind::kDecodeTail, 3}, {SubStageKind::kUpdate, 2}});
}
// A second of work, then two of waiting for a judge.
SimulatedPipeline judged(const std::string& name, int steps) {
  return pipeline_of(name, steps,
                     {{SubStageKind::kDecodeTail, 1}, {SubStageKind::kReward, 2}, {SubStageKind::kUpdate, 1}});
}

Capacity capacity_of(int num_workers) { return {.num_workers = num_workers}; }

RunSummary run(const std::vector<SimulatedPipeline>& pipelines, const std::string& policy, const Capacity& capacity) {
  const auto made = make_policy(policy);
  const Result<RunSummary> summary = simulate(pipelines, **made, capacity);
  CHECK_MSG(summary.ok(), summary.error().message());
  return *summary;
}

TEST(SimulatorTest, OnePipelineTakesItsCriticalPathUnderEveryPolicy) {
  for (const std::string& policy : policy_names()) {
    const RunSummary summary = run({computing("a", 4)}, policy, capacity_of(2));
    EXPECT_DOUBLE_EQ(summary.wall_s, 4 * 5) << policy;
    EXPECT_EQ(summary.tokens, 400) << policy;
    EXPECT_DOUBLE_EQ(summary.pipelines[0].latency_factor, 1) << policy;
    EXPECT_DOUBLE_EQ(summary.worker_busy_share, 1) << policy;
  }
}

TEST(SimulatorTest, SerialAddsUpAndTimeSlicesSaveNothingOfPureCompute) {
  const std::vector<SimulatedPipeline> pair = {computing("a", 4), computing("b", 4)};
  for (const std::string& policy : policy_names()) {
    EXPECT_NEAR(run(pair, policy, capacity_of(2)).wall_s, 40, 1e-6) << policy;
  }
}

// Two equal pipelines: gain x latency = 2.
TEST(SimulatorTest, GainTimesLatencyIsTheNumberOfEqualPipelines) {
  const std::vector<SimulatedPipeline> pair = {judged("a", 50), judged("b", 50)};
  const double serial_s = run(pair, "serial", capacity_of(1)).wall_s;
  for (const std::string policy : {"serial", "greedy", "lookahead"}) {
    const RunSummary summary = run(pair, policy, capacity_of(1));
    const double latency = (summary.pipelines[0].latency_factor + summary.pipelines[1].latency_factor) / 2;
    EXPECT_NEAR(serial_s / summary.wall_s * latency, 2, 0.04) << policy;
  }
}

// Equal shares keep two pipelines in step: both compute, then both wait, 6 s a step. Out of step one computes while the
// other waits: 4 s.
TEST(SimulatorTest, LookaheadPutsOnePipelinesWaitBesideTheOthersWork) {
  const std::vector<SimulatedPipeline> pair = {judged("a", 20), judged("b", 20)};
  const double greedy_s = run(pair, "greedy", capacity_of(2)).wall_s;
  const double lookahead_s = run(pair, "lookahead", capacity_of(2)).wall_s;
  EXPECT_NEAR(greedy_s, 20 * 6, 2);
  EXPECT_LT(lookahead_s, 20 * 4 * 1.15);
}

TEST(SimulatorTest, ComplementarySubStagesRunBesideEachOther) {
  Capacity capacity = capacity_of(1);
  capacity.slowdown.set(SubStageKind::kDecodeTail, SubStageKind::kUpdate, 0.5, {1.1, 1.1});
  const std::vector<SimulatedPipeline> pair = {computing("a", 10), computing("b", 10)};
  EXPECT_LT(run(pair, "lookahead", capacity).wall_s, 0.85 * run(pair, "serial", capacity).wall_s);
}

TEST(SimulatorTest, OneStepOffHidesUpdatesBehindRollouts) {
  SimulatedPipeline pipeline = computing("a", 20);
  pipeline.spec.staleness = 1;
  Capacity capacity = capacity_of(1);
  capacity.slowdown.set(SubStageKind::kDecodeTail, SubStageKind::kUpdate, 0.5, {1, 1});
  // 20 rollouts of 3 s one after the other, then the last update.
  EXPECT_NEAR(run({pipeline}, "greedy", capacity).wall_s, 20 * 3 + 2, 1e-6);
}

// Every third update is ten times as long as the others; on the whole rollouts take as long as updates.
class UnevenDurations : public SimulatedDurations {
 public:
  double seconds(std::int64_t step, const Node& node) override {
    if (node.kind == SubStageKind::kDecodeTail) return 4;
    return node.kind != SubStageKind::kUpdate ? 0 : step % 3 == 0 ? 10 : 1;
  }
  double tokens(std::int64_t) override { return 100; }
};

TEST(SimulatorTest, AsyncLetsUnevenStepsAverageOut) {
  Capacity capacity = capacity_of(1);
  capacity.slowdown.set(SubStageKind::kDecodeTail, SubStageKind::kUpdate, 0.5, {1, 1});
  const auto wall_s = [&](int staleness) {
    SimulatedPipeline pipeline = computing("a", 60);
    pipeline.spec.staleness = staleness;
    pipeline.durations = std::make_shared<UnevenDurations>();
    return run({pipeline}, "greedy", capacity).wall_s;
  };
  // 20 times: two rollouts, then one that the long update outlasts.
  EXPECT_NEAR(wall_s(1), 20 * (4 + 4 + 10), 12);
  EXPECT_NEAR(wall_s(3), 60 * 4, 12);  // rollouts never wait
}

TEST(SimulatorTest, MemoryKeepsApartWhatDoesNotFitTogether) {
  std::vector<SimulatedPipeline> pair = {judged("a", 5), judged("b", 5)};
  std::vector<MemoryNeeds> needs;
  for (SimulatedPipeline& pipeline : pair) {
    pipeline.spec.memory = {.resident = 1, .rollout = 6, .training = 6};
    needs.push_back(pipeline.spec.memory);
  }
  Capacity capacity = capacity_of(1);
  capacity.memory = MemoryLedger(needs, 10);
  for (const std::string& policy : policy_names()) {
    const auto made = make_policy(policy);
    SimulationObserver observer;
    observer.on_node_end = [&](const TimelineEntry&, const Plan& plan) {
      EXPECT_LE(capacity.memory.bytes_used(plan, 1), 10u);
    };
    EXPECT_TRUE(simulate(pair, **made, capacity, observer).ok()) << policy;
  }
}

TEST(SimulatorTest, APolicyThatStartsNothingIsAnErrorThatNamesWhatIsReady) {
  struct Idle : Policy {
    std::string_view name() const override { return "idle"; }
    Decision choose(const Plan&, const Capacity&, Clock::TimePoint) const override { return {}; }
  };
  const Result<RunSummary> summary = simulate({computing("a", 1)}, Idle(), capacity_of(1));
  ASSERT_FALSE(summary.ok());
  EXPECT_THAT(summary.error().message(), HasSubstr("'idle' starts nothing"));
  EXPECT_THAT(summary.error().message(), HasSubstr("a prefill@1"));
}

class H100Test : public testing::Test {
 protected:
  SimulatedPipeline pipeline_of(const std::string& name, const std::string& workload, int steps, std::uint64_t seed,
                                int num_workers) {
    const auto facts = profile_.workload(workload);
    const auto model = profile_.model((*facts)->model);
    const Workload made(**facts, profile_.bins);
    SimulatedPipeline pipeline;
    pipeline.spec = made.spec(name, steps);
    pipeline.cost = **model;
    pipeline.durations = std::make_shared<WorkloadDurations>(made, **model, pipeline.spec, seed, num_workers);
    return pipeline;
  }
  Capacity capacity(int num_workers) {
    Capacity capacity = capacity_of(num_workers);
    capacity.slowdown = profile_.slowdown_table();
    return capacity;
  }

  const Profile profile_ = *Profile::load(std::filesystem::path(JIGSAW_SOURCE_DIR) / "configs/profiles/h100-tp4.yaml");
};

TEST_F(H100Test, MultiplexingBeatsTheBaselinesOnAPublishedPair) {
  const std::vector<SimulatedPipeline> pair = {pipeline_of("a", "math-qwen3-4b-instruct", 6, 1, 2),
                                               pipeline_of("b", "gsm8k-qwen3-8b", 6, 2, 2)};
  std::map<std::string, double> wall_s;
  for (const std::string& policy : policy_names()) wall_s[policy] = run(pair, policy, capacity(2)).wall_s;
  EXPECT_LT(wall_s["lookahead"], wall_s["serial"] / 1.2);
  EXPECT_LT(wall_s["lookahead"], wall_s["round_robin"] / 1.2);
  EXPECT_LT(wall_s["lookahead"], wall_s["rollout_sharing"] / 1.2);
  EXPECT_LE(wall_s["lookahead"], wall_s["greedy"] * 1.005);
}

TEST_F(H100Test, TheSameSeedGivesTheSameSchedule) {
  const auto once = [&] {
    return run({pipeline_of("a", "gsm8k-qwen3-4b", 4, 1, 3), pipeline_of("b", "gsm8k-qwen3-0.6b", 4, 2, 3)},
               "lookahead", capacity(3));
  };
  const RunSummary first = once(), second = once();
  EXPECT_EQ(first.wall_s, second.wall_s);
  EXPECT_EQ(first.tokens, second.tokens);
  EXPECT_EQ(first.decisions, second.decisions);
}

TEST_F(H100Test, SixtyFourPipelinesEnd) {
  std::vector<SimulatedPipeline> pipelines;
  for (int i = 0; i < 64; ++i) {
    pipelines.push_back(
        pipeline_of("p" + std::to_string(i), "gsm8k-llama-3.1-8b", 1, static_cast<std::uint64_t>(i), 2));
  }
  EXPECT_EQ(run(pipelines, "lookahead", capacity(2)).pipelines.size(), 64u);
}

TEST_F(H100Test, FiveHundredWorkersEnd) {
  const std::vector<SimulatedPipeline> pair = {pipeline_of("a", "gsm8k-llama-3.1-8b", 2, 1, 512),
                                               pipeline_of("b", "gsm8k-qwen3-4b-instruct", 2, 2, 512)};
  EXPECT_GT(run(pair, "lookahead", capacity(512)).tokens_per_s, 0);
}

}  // namespace
}  // namespace jigsaw
