// What `jigsaw ctl` and `jigsaw worker --join` ask of a running controller, and what it does.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "scheduler/controller.h"
#include "tests/support/fake_asker.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_cluster.h"

namespace jigsaw {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

class Recorder : public RunObserver {
 public:
  std::vector<std::pair<int, std::int64_t>> steps, checkpoints;  // pipeline, step

  Status on_step(const StepReport& report) override {
    steps.emplace_back(report.pipeline, report.step);
    return ok_status();
  }
  Status on_checkpoint(int pipeline, std::int64_t step, const std::string&) override {
    checkpoints.emplace_back(pipeline, step);
    return ok_status();
  }
  void on_sample(int, std::int64_t, int, int) override {}
  void on_tick() override {}
  Status on_added(const Addition& addition) override {
    added.push_back(addition.job_yaml);
    return ok_status();
  }
  std::vector<std::string> added;  // the jobs with them

  std::int64_t steps_of(int pipeline) const {
    return std::ranges::count(steps, pipeline, [](const auto& step) { return step.first; });
  }
};

PipelineSpec spec_of(const std::string& name, int steps) {
  PipelineSpec spec;
  spec.name = name;
  spec.steps = steps;
  spec.prompts_per_step = 4;
  spec.group_size = 2;
  spec.grad_slots = 2;
  return spec;
}

class ControllerCommandsTest : public testing::Test {
 protected:
  Result<RunSummary> run(std::vector<PipelineSpec> specs) {
    ControllerOptions options;
    options.num_workers = 2;
    options.checkpoint_root = "ckpt";
    options.worker_timeout = std::chrono::seconds(5);
    options.control = &asker;
    if (can_join) {
      options.admit = [this](PeerId worker, const std::string& public_key) -> Result<wire::ControlReply::Joined> {
        if (public_key == "bad") return Error(ErrorCode::kInvalidArgument, "this is no key");
        cluster.add_worker(worker, joiner_connects);
        wire::ControlReply::Joined joined;
        joined.set_worker(worker);
        return joined;
      };
    }
    if (can_add) {
      options.extend = [this](const std::string&, const std::string& yaml,
                              const std::string& file) -> Result<Addition> {
        if (yaml == "bad") return Error(ErrorCode::kInvalidArgument, file + ":1: not valid YAML");
        Addition addition{.job_yaml = "with " + yaml, .added_yaml = yaml, .specs = {spec_of(yaml, 4)}};
        addition.specs.front().memory = added_memory;
        return addition;
      };
    }
    options.memory_bytes_per_worker = memory_bytes;
    options.start_timeout = std::chrono::seconds(20);
    std::vector<StartPoint> starts(specs.size());
    Controller controller(std::move(specs), std::move(starts), options, *make_policy("lookahead"), cluster, recorder,
                          clock);
    return controller.run();
  }
  FakeAsker::Moment after_steps(int pipeline, std::int64_t steps) {
    return [this, pipeline, steps] { return recorder.steps_of(pipeline) >= steps; };
  }
  FakeAsker::Moment after_s(int seconds) {
    return [this, seconds] { return clock.now() >= Clock::TimePoint(std::chrono::seconds(seconds)); };
  }
  nlohmann::json status(std::size_t reply) const { return nlohmann::json::parse(asker.replies.at(reply).json()); }

  FakeClock clock;
  FakeCluster cluster{2, clock};
  FakeAsker asker;
  Recorder recorder;
  bool can_join = true, joiner_connects = true, can_add = true;
  MemoryNeeds added_memory;
  std::size_t memory_bytes = 0;
};

TEST_F(ControllerCommandsTest, StatusTellsOfPipelinesAndWorkers) {
  asker.ask(status_request(), after_steps(0, 2));
  ASSERT_TRUE(run({spec_of("a", 3), spec_of("b", 1)}).ok());
  const nlohmann::json json = status(0);
  EXPECT_EQ(json["policy"], "lookahead");
  EXPECT_EQ(json["pipelines"][0]["name"], "a");
  EXPECT_EQ(json["pipelines"][0]["state"], "running");
  EXPECT_EQ(json["pipelines"][0]["step"], 3);
  EXPECT_EQ(json["pipelines"][0]["steps"], 3);
  EXPECT_EQ(json["pipelines"][1]["name"], "b");
  ASSERT_EQ(json["workers"].size(), 2u);
  EXPECT_EQ(json["workers"][1]["worker"], 2);
  EXPECT_EQ(json["workers"][1]["state"], "working");
}

TEST_F(ControllerCommandsTest, APausedPipelineBeginsNoStepUntilItIsResumed) {
  PipelineSpec ahead = spec_of("ahead", 6);
  ahead.staleness = 1;
  asker.ask(pause_request("a"), after_steps(0, 2));
  asker.ask(pause_request("ahead"), after_steps(1, 2));
  asker.ask(status_request(), after_s(300));
  std::vector<std::int64_t> steps_when_paused;
  const auto note_steps = [&] {
    steps_when_paused = {recorder.steps_of(0), recorder.steps_of(1), recorder.steps_of(2)};
    return true;
  };
  asker.ask(status_request(), note_steps);
  asker.ask(status_request(), after_s(600));
  asker.ask(resume_request("a"));
  asker.ask(status_request(), after_s(900));
  asker.ask(resume_request("ahead"), [&] { return steps_when_paused[0] == 2 && recorder.steps_of(0) == 6; });
  const auto summary = run({spec_of("a", 6), ahead, spec_of("other", 6)});
  ASSERT_TRUE(summary.ok()) << summary.error().message();
  EXPECT_THAT(steps_when_paused, ElementsAre(2, testing::AnyOf(2, 3), 6)) << "the other one went on";
  EXPECT_EQ(status(2)["pipelines"][0]["state"], "paused");
  EXPECT_EQ(status(2)["pipelines"][0]["waiting_for"], "being resumed");
  EXPECT_EQ(status(4)["pipelines"], status(2)["pipelines"]) << "nothing of it happened for five minutes";
  for (const PipelineSummary& pipeline : summary->pipelines) EXPECT_EQ(pipeline.steps, 6) << pipeline.name;
}

TEST_F(ControllerCommandsTest, ACancelledPipelineEndsWithACheckpointAndTheOthersGoOn) {
  asker.ask(cancel_request("a"), after_steps(0, 2));
  asker.ask(cancel_request("a"), after_s(0));
  const auto summary = run({spec_of("a", 50), spec_of("b", 20)});
  ASSERT_TRUE(summary.ok()) << summary.error().message();
  EXPECT_TRUE(summary->interrupted);
  const std::int64_t steps = summary->pipelines[0].steps;
  EXPECT_THAT(steps, testing::AnyOf(2, 3));
  EXPECT_THAT(recorder.checkpoints, Contains(std::pair(0, steps)));
  EXPECT_EQ(summary->pipelines[1].steps, 20);
  EXPECT_EQ(asker.replies.at(0).error(), "");
  EXPECT_THAT(asker.replies.at(1).error(), HasSubstr("has ended, or is about to"));
}

TEST_F(ControllerCommandsTest, APausedPipelineCanBeCancelled) {
  PipelineSpec ahead = spec_of("ahead", 50);
  ahead.staleness = 1;
  for (const char* name : {"a", "ahead"}) asker.ask(pause_request(name), after_steps(0, 2));
  for (const char* name : {"a", "ahead"}) asker.ask(cancel_request(name), after_s(100));
  const auto summary = run({spec_of("a", 50), ahead, spec_of("b", 5)});
  ASSERT_TRUE(summary.ok()) << summary.error().message();
  EXPECT_EQ(summary->pipelines[0].steps, 2);
  EXPECT_LT(summary->pipelines[1].steps, 10);
  EXPECT_EQ(recorder.checkpoints.size(), 3u);
}

// A worker may still write it when the controller is gone; then --resume goes on after this step.
TEST_F(ControllerCommandsTest, AStepIsToldOfBeforeACheckpointCanHoldIt) {
  PipelineSpec spec = spec_of("a", 6);
  spec.checkpoint_every = 2;
  std::vector<std::int64_t> told;
  cluster.on_checkpoint = [&] { told.push_back(recorder.steps_of(0)); };
  ASSERT_TRUE(run({spec}).ok());
  EXPECT_THAT(told, ElementsAre(2, 4, 6));
  EXPECT_EQ(recorder.steps_of(0), 6) << "each once";
}

TEST_F(ControllerCommandsTest, AWeightIsTakenAndShown) {
  asker.ask(weight_request("a", 2.5), after_steps(0, 1));
  asker.ask(status_request());
  ASSERT_TRUE(run({spec_of("a", 3), spec_of("b", 3)}).ok());
  EXPECT_EQ(status(1)["pipelines"][0]["weight"], 2.5);
  EXPECT_EQ(status(1)["pipelines"][1]["weight"], 1);
}

TEST_F(ControllerCommandsTest, WrongRequestsAreAnsweredAndEndNothing) {
  asker.ask(pause_request("sord"));
  asker.ask(weight_request("sort", 0));
  asker.ask(weight_request("sort", std::nan("")));
  asker.ask(wire::ControlRequest());
  asker.ask_bytes("\xff\xff no message");
  asker.ask(join_request("bad"));
  const auto summary = run({spec_of("sort", 3)});
  ASSERT_TRUE(summary.ok()) << summary.error().message();
  EXPECT_EQ(summary->pipelines[0].steps, 3);
  EXPECT_EQ(summary->workers_joined, 0);
  EXPECT_EQ(summary->workers_lost, 0);
  ASSERT_EQ(asker.replies.size(), 6u);
  EXPECT_EQ(asker.replies[0].error(), "there is no pipeline 'sord'; did you mean 'sort'?");
  EXPECT_EQ(asker.replies[1].error(), "a weight is a number from 0.001 to 1000");
  EXPECT_EQ(asker.replies[2].error(), "a weight is a number from 0.001 to 1000");
  EXPECT_EQ(asker.replies[3].error(), "the request asks for nothing");
  EXPECT_THAT(asker.replies[4].error(), HasSubstr("no message"));
  EXPECT_EQ(asker.replies[5].error(), "this is no key");
}

TEST_F(ControllerCommandsTest, AWorkerThatJoinsGetsItsShareOfTheWork) {
  asker.ask(join_request(), after_steps(0, 2));
  const auto summary = run({spec_of("a", 6)});
  ASSERT_TRUE(summary.ok()) << summary.error().message();
  EXPECT_EQ(asker.replies.at(0).joined().worker(), 3u);
  EXPECT_EQ(summary->workers_joined, 1);
  EXPECT_EQ(summary->workers_lost, 0);
  EXPECT_EQ(summary->pipelines[0].steps, 6);
  EXPECT_EQ(summary->pipelines[0].weights_hash, "hash-6");
  EXPECT_THAT(cluster.log, Contains("rollout@3 p0 s6"));
  EXPECT_THAT(cluster.log, Contains("update@3 p0 s6"));
  EXPECT_THAT(cluster.log, Not(Contains(HasSubstr("@3 p0 s2"))));
  EXPECT_THAT(recorder.checkpoints, ElementsAre(std::pair(0, 6))) << "what a joiner loads is no checkpoint of the run";
}

TEST_F(ControllerCommandsTest, APipelineIsAddedAndTrained) {
  asker.ask(add_request("b"), after_steps(0, 2));
  asker.ask(join_request());  // not now
  asker.ask(join_request(), after_steps(1, 1));
  const auto summary = run({spec_of("a", 12)});
  ASSERT_TRUE(summary.ok()) << summary.error().message();
  EXPECT_EQ(asker.replies.at(0).error(), "");
  EXPECT_THAT(asker.replies.at(0).adding(), ElementsAre("b"));
  EXPECT_THAT(asker.replies.at(1).error(), HasSubstr("pipelines are being added"));
  ASSERT_EQ(recorder.added, std::vector<std::string>{"with b"});
  ASSERT_EQ(summary->pipelines.size(), 2u);
  EXPECT_EQ(summary->pipelines[0].steps, 12);
  EXPECT_EQ(summary->pipelines[0].weights_hash, "hash-12");
  EXPECT_EQ(summary->pipelines[1].name, "b");
  EXPECT_EQ(summary->pipelines[1].steps, 4);
  EXPECT_EQ(summary->pipelines[1].weights_hash, "hash-4");
  EXPECT_TRUE(summary->members_have_changed);
  EXPECT_EQ(summary->workers_joined, 1);
  EXPECT_THAT(cluster.log, Contains("update@2 p1 s4"));
  EXPECT_THAT(cluster.forgotten, testing::IsEmpty());
}

TEST_F(ControllerCommandsTest, WhatCannotBeAddedHarmsNobody) {
  cluster.cannot_load[2] = "pipeline 'b': model.gguf: no such file";
  memory_bytes = 1000;
  asker.ask(add_request("bad"), after_steps(0, 1));
  asker.ask(add_request("b"));
  asker.ask(add_request("c"));  // b is being loaded
  asker.ask(status_request(), [this] { return !cluster.forgotten.empty(); });
  const auto too_large = [this] {
    added_memory.resident = 2000;
    return true;
  };
  asker.ask(add_request("large"), too_large);
  const auto summary = run({spec_of("a", 8)});
  ASSERT_TRUE(summary.ok()) << summary.error().message();
  EXPECT_EQ(asker.replies.at(0).error(), "more.yaml:1: not valid YAML");
  EXPECT_EQ(asker.replies.at(1).error(), "");
  EXPECT_EQ(asker.replies.at(2).error(), "the workers are loading b; try again when they have");
  EXPECT_EQ(status(3)["not_added"]["b"], "worker 2: pipeline 'b': model.gguf: no such file");
  EXPECT_THAT(cluster.forgotten, ElementsAre(1, 1)) << "both workers, the second pipeline";
  EXPECT_THAT(asker.replies.at(4).error(), HasSubstr("can never run"));
  EXPECT_EQ(summary->pipelines.size(), 1u);
  EXPECT_EQ(summary->pipelines[0].steps, 8);
  EXPECT_THAT(recorder.added, testing::IsEmpty());
}

TEST_F(ControllerCommandsTest, AnAddedPipelineWithOtherFirstWeightsSomewhereIsTurnedAway) {
  asker.ask(add_request("b"), [this] {
    cluster.other_hash_when_ready = "other";
    return recorder.steps_of(0) >= 2;
  });
  asker.ask(status_request(), [this] { return !cluster.forgotten.empty(); });
  const auto summary = run({spec_of("a", 6)});
  ASSERT_TRUE(summary.ok()) << summary.error().message();
  EXPECT_THAT(status(1)["not_added"]["b"].get<std::string>(), HasSubstr("worker 2 has other first weights"));
}

TEST_F(ControllerCommandsTest, AWorkerThatNeverLoadsAnAddedPipelineIsLostAndTheRunWaitsForThat) {
  cluster.loads_forever = {2};
  asker.ask(add_request("b"), after_steps(0, 1));
  const auto summary = run({spec_of("a", 3)});
  ASSERT_TRUE(summary.ok()) << summary.error().message();
  EXPECT_EQ(summary->workers_lost, 1);
  ASSERT_EQ(summary->pipelines.size(), 2u);
  EXPECT_EQ(summary->pipelines[1].steps, 4);
}

TEST_F(ControllerCommandsTest, OneJoinsAtATime) {
  asker.ask(join_request("one"), after_steps(0, 2));
  asker.ask(join_request("two"));
  asker.ask(join_request("two"), after_steps(0, 4));
  const auto summary = run({spec_of("a", 8)});
  ASSERT_TRUE(summary.ok()) << summary.error().message();
  EXPECT_EQ(asker.replies.at(1).error(), "worker 3 is joining; try again when it is in");
  EXPECT_EQ(asker.replies.at(2).joined().worker(), 4u);
  EXPECT_EQ(summary->workers_joined, 2);
  EXPECT_THAT(cluster.log, Contains("rollout@4 p0 s8"));
}

TEST_F(ControllerCommandsTest, AJoinerThatNeverConnectsHoldsNothingUp) {
  joiner_connects = false;
  asker.ask(join_request(), after_steps(0, 2));
  asker.ask(pause_request("a"));  // so that the run is still there when the time is over
  asker.ask(status_request(), after_s(30));
  asker.ask(resume_request("a"));
  const auto summary = run({spec_of("a", 6), spec_of("b", 6)});
  ASSERT_TRUE(summary.ok()) << summary.error().message();
  EXPECT_EQ(status(2)["workers"][2]["state"], "lost");
  EXPECT_EQ(status(2)["pipelines"][1]["state"], "ended") << "nobody waited for it";
  EXPECT_EQ(summary->workers_joined, 0);
  EXPECT_EQ(summary->workers_lost, 0);
  EXPECT_EQ(summary->pipelines[0].steps, 6);
}

TEST_F(ControllerCommandsTest, AJoinerWithOtherWeightsIsTurnedAway) {
  asker.ask(join_request(), [&] {
    if (recorder.steps_of(0) < 2) return false;
    cluster.other_hash_when_ready = "wrong";
    return true;
  });
  const auto summary = run({spec_of("a", 6)});
  ASSERT_TRUE(summary.ok()) << summary.error().message();
  EXPECT_EQ(summary->workers_joined, 0);
  EXPECT_EQ(summary->pipelines[0].weights_hash, "hash-6");
  EXPECT_THAT(cluster.log, Not(Contains(HasSubstr("@3"))));
  EXPECT_THAT(cluster.turned_away, ElementsAre(HasSubstr("other weights of pipeline 'a'")));
}

TEST_F(ControllerCommandsTest, WithoutRoomForACheckpointNobodyJoinsAndTheRunGoesOn) {
  cluster.checkpoint_warning = "disk full";
  asker.ask(join_request(), after_steps(0, 2));
  const auto summary = run({spec_of("a", 6)});
  ASSERT_TRUE(summary.ok()) << summary.error().message();
  EXPECT_EQ(summary->workers_joined, 0);
  EXPECT_EQ(summary->pipelines[0].steps, 6);
  EXPECT_THAT(cluster.turned_away, ElementsAre("disk full"));
}

TEST_F(ControllerCommandsTest, APausedPipelineStaysPausedWhenAWorkerHasJoined) {
  asker.ask(pause_request("a"), after_steps(0, 2));
  asker.ask(join_request());
  asker.ask(status_request(), after_s(100));
  asker.ask(resume_request("a"));
  const auto summary = run({spec_of("a", 6), spec_of("b", 6)});
  ASSERT_TRUE(summary.ok()) << summary.error().message();
  EXPECT_EQ(status(2)["pipelines"][0]["state"], "paused");
  EXPECT_EQ(status(2)["pipelines"][0]["step"], 3);
  EXPECT_EQ(status(2)["workers"][2]["state"], "working");
  EXPECT_EQ(summary->workers_joined, 1);
  EXPECT_EQ(summary->pipelines[0].steps, 6);
}

TEST_F(ControllerCommandsTest, WhereNobodyCanJoinThatIsSaid) {
  can_join = false;
  asker.ask(join_request());
  ASSERT_TRUE(run({spec_of("a", 2)}).ok());
  EXPECT_THAT(asker.replies.at(0).error(), HasSubstr("--workers 0"));
}

}  // namespace
}  // namespace jigsaw
