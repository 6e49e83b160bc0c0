#include "scheduler/controller.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/fake_clock.h"
#include "tests/support/fake_cluster.h"

namespace jigsaw {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

class Recorder : public RunObserver {
 public:
  std::vector<StepReport> steps;
  std::vector<std::int64_t> checkpoints;
  std::atomic<bool>* stop_after_first_step = nullptr;
  std::atomic<bool>* stop_at_first_sample = nullptr;

  Status on_step(const StepReport& report) override {
    steps.push_back(report);
    if (stop_after_first_step != nullptr) stop_after_first_step->store(true);
    return ok_status();
  }
  Status on_checkpoint(int, std::int64_t step, const std::string&) override {
    checkpoints.push_back(step);
    return ok_status();
  }
  void on_sample(int, std::int64_t, int, int) override {
    if (stop_at_first_sample != nullptr) stop_at_first_sample->store(true);
  }
  void on_tick() override {}
};

PipelineSpec spec_of(const std::string& name, int steps) {
  PipelineSpec spec;
  spec.name = name;
  spec.steps = steps;
  spec.prompts_per_step = 2;
  spec.group_size = 2;
  spec.grad_slots = 2;
  return spec;
}

class ControllerTest : public testing::Test {
 protected:
  Result<RunSummary> run(std::vector<PipelineSpec> specs, const std::string& policy = "greedy",
                         std::vector<StartPoint> starts = {}) {
    starts.resize(specs.size());
    ControllerOptions options;
    options.num_workers = 2;
    options.checkpoint_root = "ckpt";
    options.stop = &stop;
    Controller controller(std::move(specs), std::move(starts), options, *make_policy(policy), cluster, recorder, clock);
    return controller.run();
  }

  FakeClock clock;
  FakeCluster cluster{2, clock};
  Recorder recorder;
  std::atomic<bool> stop{false};
};

TEST_F(ControllerTest, RunsEveryStepOfEveryPipeline) {
  const auto summary = run({spec_of("a", 3), spec_of("b", 2)});
  ASSERT_TRUE(summary.ok()) << summary.error().message();
  EXPECT_EQ(recorder.steps.size(), 5u);
  EXPECT_EQ(summary->pipelines[0].steps, 3);
  EXPECT_EQ(summary->pipelines[1].weights_hash, "hash-2");
  EXPECT_EQ(summary->tokens, 5 * 4 * 2);
  EXPECT_THAT(recorder.checkpoints, testing::UnorderedElementsAre(3, 2));
  EXPECT_EQ(cluster.shutdowns, 2);
}

TEST_F(ControllerTest, StepReportAddsUpTheSamples) {
  ASSERT_TRUE(run({spec_of("a", 1)}).ok());
  const StepReport& report = recorder.steps.at(0);
  EXPECT_DOUBLE_EQ(report.reward_mean, 1.5);
  EXPECT_NEAR(report.reward_std, 1.2909944487358056, 1e-12);  // of 0, 1, 2, 3 with n - 1
  ASSERT_EQ(report.trajectories.size(), 4u);
  for (std::uint32_t i = 0; i < 4; ++i) EXPECT_EQ(report.trajectories[i].sample(), i);
}

TEST_F(ControllerTest, SerialNeverMixesStepsOfPipelines) {
  ASSERT_TRUE(run({spec_of("a", 2), spec_of("b", 2)}, "serial").ok());
  // Eight runs of one (pipeline, step) each: no pipeline comes back to a step that it has left.
  std::vector<std::string> runs;
  for (const std::string& entry : cluster.log) {
    const std::string step = entry.substr(entry.find(' '));
    if (runs.empty() || runs.back() != step) runs.push_back(step);
  }
  EXPECT_THAT(runs, ElementsAre(" p0 s1", " p1 s1", " p0 s2", " p1 s2"));
}

TEST_F(ControllerTest, GreedyRunsPipelinesSideBySide) {
  ASSERT_TRUE(run({spec_of("a", 1), spec_of("b", 1)}).ok());
  EXPECT_THAT(std::vector<std::string>(cluster.log.begin(), cluster.log.begin() + 4),
              ElementsAre("rollout@1 p0 s1", "rollout@2 p0 s1", "rollout@1 p1 s1", "rollout@2 p1 s1"));
}

TEST_F(ControllerTest, ReferenceLogProbsReachTheUpdate) {
  PipelineSpec spec = spec_of("a", 1);
  spec.needs_reference = true;
  ASSERT_TRUE(run({spec}).ok());
  EXPECT_THAT(cluster.log, Contains("logprob@2 p0 s1"));
  EXPECT_EQ(recorder.steps.at(0).trajectories[3].ref_logprobs_size(), 2);
}

// Its slots would be shared out evenly, were it not for what the other pipeline still does on worker 1.
TEST_F(ControllerTest, AWorkerThatHasOtherWorkTrainsLessOfAnUpdate) {
  PipelineSpec a = spec_of("a", 2), b = spec_of("b", 2);
  a.grad_slots = 4;
  // b's rollout of step 2 goes on, on worker 1, until a's update of step 2 has begun, and a's does until b's has begun.
  cluster.holds = [&](PeerId worker, const wire::Dispatch& dispatch) {
    if (dispatch.step() != 2 || !dispatch.has_rollout()) return false;
    if (dispatch.pipeline() == 0) return std::ranges::count(cluster.log, "rollout@1 p1 s2") == 0;
    return worker == 1 && !cluster.slot_owners.contains({0, 2});
  };
  ASSERT_TRUE(run({a, b}).ok());
  EXPECT_THAT((cluster.slot_owners.at({0, 1})), ElementsAre(1, 1, 2, 2));
  EXPECT_EQ(std::ranges::count((cluster.slot_owners.at({0, 2})), 1u), 1);
}

TEST_F(ControllerTest, ADoubledSampleEndsTheRun) {
  cluster.double_sample = true;
  const auto summary = run({spec_of("a", 1)});
  ASSERT_FALSE(summary.ok());
  EXPECT_THAT(summary.error().message(), HasSubstr("sample 0 came twice"));
}

TEST_F(ControllerTest, WorkersThatDisagreeAboutTheWeightsEndTheRun) {
  cluster.other_hash_of_worker_2 = "bad";
  const auto summary = run({spec_of("a", 1)});
  ASSERT_FALSE(summary.ok());
  EXPECT_THAT(summary.error().message(), HasSubstr("disagree about the weights"));
}

TEST_F(ControllerTest, AFailureNamesTheWorkerAndAllAreShutDown) {
  cluster.failure = "reward 'judge': cannot be started";
  const auto summary = run({spec_of("a", 1)});
  ASSERT_FALSE(summary.ok());
  EXPECT_EQ(summary.error().message(), "worker 1: reward 'judge': cannot be started");
  EXPECT_EQ(cluster.shutdowns, 2);
}

TEST_F(ControllerTest, ASilentWorkerIsGivenUpWithinTheTimeoutAndTheOthersDoItsWork) {
  cluster.hold_after = 1;
  cluster.silent = {};
  struct Silencer : Recorder {
    FakeCluster* cluster = nullptr;
    void on_tick() override { cluster->silent = {2}; }
  } silencer;
  silencer.cluster = &cluster;
  ControllerOptions options;
  options.num_workers = 2;
  options.worker_timeout = std::chrono::milliseconds(5000);
  Controller controller({spec_of("a", 1)}, {StartPoint{}}, options, *make_policy("greedy"), cluster, silencer, clock);
  const auto summary = controller.run();
  ASSERT_TRUE(summary.ok()) << summary.error().message();
  EXPECT_EQ(summary->pipelines[0].steps, 1);
  EXPECT_GT(clock.now(), Clock::TimePoint(options.worker_timeout));
  EXPECT_THAT(cluster.log, ElementsAre("rollout@1 p0 s1", "rollout@2 p0 s1", "rollout@1 p0 s1", "update@1 p0 s1",
                                       "checkpoint@1 p0 s1"));
}

TEST_F(ControllerTest, WorkersThatNeverConnectAreNamed) {
  FakeCluster nobody(0, clock);
  ControllerOptions options;
  options.num_workers = 2;
  Controller controller({spec_of("a", 1)}, {StartPoint{}}, options, *make_policy("greedy"), nobody, recorder, clock);
  const auto summary = controller.run();
  ASSERT_FALSE(summary.ok());
  EXPECT_THAT(summary.error().message(), HasSubstr("worker 1, worker 2 to connect"));
}

TEST_F(ControllerTest, StoppingDropsARolloutAndCheckpointsTheStepBefore) {
  recorder.stop_after_first_step = &stop;
  cluster.hold_after = 4;  // step 1 is answered, step 2's rollouts hang
  const auto summary = run({spec_of("a", 5)});
  ASSERT_TRUE(summary.ok()) << summary.error().message();
  EXPECT_TRUE(summary->interrupted);
  EXPECT_EQ(summary->pipelines[0].steps, 1);
  EXPECT_THAT(recorder.checkpoints, ElementsAre(1));
}

TEST_F(ControllerTest, StoppingTwiceNeedsNoSecondCheckpoint) {
  stop.store(false);
  PipelineSpec spec = spec_of("a", 5);
  spec.checkpoint_every = 1;
  recorder.stop_after_first_step = &stop;
  cluster.hold_after = 4;
  ASSERT_TRUE(run({spec}).ok());
  EXPECT_THAT(recorder.checkpoints, ElementsAre(1));
}

TEST_F(ControllerTest, ResumeStartsAfterTheCheckpoint) {
  ASSERT_TRUE(run({spec_of("a", 5)}, "greedy", {{.step = 3, .folder = "ckpt/a/step-3"}}).ok());
  EXPECT_THAT(cluster.resumed_from, ElementsAre("ckpt/a/step-3"));
  EXPECT_EQ(recorder.steps.size(), 2u);
  EXPECT_EQ(recorder.steps.at(0).step, 4);
}

TEST_F(ControllerTest, AFinishedPipelineHasNothingToDo) {
  const auto summary = run({spec_of("a", 2)}, "greedy", {{.step = 2, .folder = "x"}});
  ASSERT_TRUE(summary.ok());
  EXPECT_TRUE(recorder.steps.empty());
  EXPECT_EQ(summary->pipelines[0].weights_hash, "first");
}

TEST_F(ControllerTest, ACheckpointThatCannotBeWrittenDoesNotEndTheRun) {
  cluster.checkpoint_warning = "disk full";
  PipelineSpec spec = spec_of("a", 2);
  spec.checkpoint_every = 1;
  const auto summary = run({spec});
  ASSERT_TRUE(summary.ok());
  EXPECT_TRUE(recorder.checkpoints.empty());
  EXPECT_EQ(recorder.steps.size(), 2u);
}

}  // namespace
}  // namespace jigsaw
