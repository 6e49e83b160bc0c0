// Workers die and join at any moment, pipelines are paused; what is trained stays the same.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/check.h"
#include "scheduler/controller.h"
#include "tests/support/fake_asker.h"
#include "tests/support/losing_cluster.h"

namespace jigsaw {
namespace {

using testing::HasSubstr;

constexpr std::int64_t kSteps = 7;

class Recorder : public RunObserver {
 public:
  std::map<std::pair<int, std::int64_t>, std::multiset<std::uint32_t>> samples;  // by pipeline and step
  std::map<int, std::vector<std::int64_t>> checkpoints;
  int num_added = 0;

  explicit Recorder(std::vector<PipelineSpec> specs) : specs_(std::move(specs)) {}

  Status on_step(const StepReport& report) override {
    auto& of_step = samples[{report.pipeline, report.step}];
    const PipelineSpec& spec = specs_[static_cast<std::size_t>(report.pipeline)];
    const std::int64_t version = std::max<std::int64_t>(report.step - 1 - spec.staleness, 0) * spec.updates_per_step;
    for (const wire::Trajectory& trajectory : report.trajectories) {
      of_step.insert(trajectory.sample());
      EXPECT_EQ(trajectory.policy_version(), version) << spec.name << ", step " << report.step;
    }
    return ok_status();
  }
  Status on_checkpoint(int pipeline, std::int64_t step, const std::string&) override {
    checkpoints[pipeline].push_back(step);
    return ok_status();
  }
  void on_sample(int, std::int64_t, int, int) override {}
  void on_tick() override {}
  Status on_added(const Addition& addition) override {
    num_added += static_cast<int>(addition.specs.size());
    return ok_status();
  }

 private:
  std::vector<PipelineSpec> specs_;
};

// All that a step can have: a reference, several updates, checkpoints, and a rollout that runs ahead by `staleness`.
std::vector<PipelineSpec> pipelines(int staleness) {
  PipelineSpec plain;
  plain.name = "plain";
  plain.steps = kSteps;
  plain.prompts_per_step = 5;
  plain.group_size = 2;
  plain.grad_slots = 4;
  plain.updates_per_step = 2;
  plain.needs_reference = true;
  plain.checkpoint_every = 2;
  PipelineSpec ahead = plain;
  ahead.name = "ahead";
  ahead.staleness = staleness;
  ahead.updates_per_step = staleness == 2 ? 2 : 1;
  return {plain, ahead};
}

struct Outcome {
  Result<RunSummary> summary;
  Recorder recorder;
  int deaths = 0, samples_moved = 0;
};

// The staleness that a seed stands for.
int staleness_of(std::uint32_t seed) { return 1 + static_cast<int>(seed % 3); }

// `requests`: of workers that join and people who pause and resume, made at random moments. adds_second: the second
// pipeline is added at such a moment, while the first one is held open for it. cancels_second: it is cancelled then.
Outcome run(int num_workers, std::uint32_t seed, double death_chance, int deaths_max,
            const std::string& policy = "lookahead", int requests = 0, bool adds_second = false,
            bool cancels_second = false) {
  FakeClock clock;
  std::vector<PipelineSpec> specs = pipelines(staleness_of(seed));
  LosingCluster cluster(num_workers, specs, seed, clock);
  cluster.death_chance = death_chance;
  cluster.deaths_max = deaths_max;
  Recorder recorder(specs);
  ControllerOptions options;
  options.num_workers = num_workers;
  options.worker_timeout = std::chrono::seconds(5);
  options.checkpoint_root = "ckpt";
  FakeAsker asker;
  std::mt19937 random(seed);
  if (adds_second) asker.ask(pause_request("plain"));
  for (int i = 0; i < requests; ++i) {
    const auto name = random() % 2 == 0 ? "plain" : "ahead";
    const std::uint32_t kind = random() % 4;
    const auto moment = [&random] { return random() % 40 == 0; };
    asker.ask(kind == 0 ? pause_request(name) : kind == 1 ? weight_request(name, 0.5) : join_request(), moment);
  }
  const auto seldom = [&random] { return random() % 40 == 0; };
  // Workers that join, or one that cannot load it, may stand in its way.
  for (int i = 0; adds_second && i < 200; ++i) {
    asker.ask(add_request("ahead"), [&] { return recorder.num_added > 0 || seldom(); });
  }
  if (cancels_second) asker.ask(cancel_request("ahead"), seldom);
  // All that was paused goes on in the end.
  for (const char* name : {"plain", "ahead"}) asker.ask(resume_request(name));
  options.control = &asker;
  options.admit = [&](PeerId worker, const std::string&) -> Result<wire::ControlReply::Joined> {
    cluster.add_worker(worker);
    return wire::ControlReply::Joined();
  };
  options.extend = [&](const std::string&, const std::string&, const std::string&) -> Result<Addition> {
    if (recorder.num_added > 0) return Error(ErrorCode::kInvalidArgument, "it is there");
    return Addition{.job_yaml = "", .added_yaml = "", .specs = {pipelines(staleness_of(seed))[1]}};
  };
  if (adds_second) specs.pop_back();
  Controller controller(specs, std::vector<StartPoint>(specs.size()), options, *make_policy(policy), cluster, recorder,
                        clock);
  Result<RunSummary> summary = controller.run();
  return {std::move(summary), std::move(recorder), cluster.deaths, cluster.samples_moved};
}

// Of each seed mod 3.
std::vector<Outcome> run_undisturbed(int num_workers) {
  std::vector<Outcome> outcomes;
  for (std::uint32_t seed = 0; seed < 3; ++seed) {
    outcomes.push_back(run(num_workers, seed, 0, 0));
    const Result<RunSummary>& summary = outcomes.back().summary;
    CHECK_MSG(summary.ok(), summary.error().message());
  }
  return outcomes;
}

void expect_same(const Outcome& outcome, const Outcome& reference, std::uint32_t seed) {
  ASSERT_TRUE(outcome.summary.ok()) << "seed " << seed << ": " << outcome.summary.error().message();
  ASSERT_EQ(outcome.summary->pipelines.size(), reference.summary->pipelines.size()) << "seed " << seed;
  for (std::size_t i = 0; i < reference.summary->pipelines.size(); ++i) {
    ASSERT_EQ(outcome.summary->pipelines[i].weights_hash, reference.summary->pipelines[i].weights_hash)
        << "seed " << seed << ", pipeline " << i;
    ASSERT_EQ(outcome.summary->pipelines[i].steps, kSteps);
  }
  ASSERT_EQ(outcome.recorder.samples, reference.recorder.samples) << "seed " << seed;
  ASSERT_EQ(outcome.recorder.checkpoints, reference.recorder.checkpoints) << "seed " << seed;
}

TEST(ControllerLossesTest, WhateverDiesTheSameIsTrained) {
  const std::vector<Outcome> references = run_undisturbed(4);
  int runs_with_deaths = 0, samples_moved = 0;
  for (std::uint32_t seed = 1; seed <= 400; ++seed) {
    const Outcome outcome = run(4, seed, 0.03, 3, seed % 2 == 0 ? "lookahead" : "greedy_merge");
    samples_moved += outcome.samples_moved;
    ASSERT_NO_FATAL_FAILURE(expect_same(outcome, references[seed % 3], seed));
    runs_with_deaths += outcome.deaths > 0 ? 1 : 0;
  }
  EXPECT_GT(runs_with_deaths, 300);
  EXPECT_GT(samples_moved, 1000);
}

TEST(ControllerLossesTest, WhoeverJoinsOrDiesTheSameIsTrained) {
  const std::vector<Outcome> references = run_undisturbed(3);
  int joined = 0, joined_beside_losses = 0;
  const std::vector<std::string> policies = policy_names();
  for (std::uint32_t seed = 1; seed <= 400; ++seed) {
    const Outcome outcome = run(3, seed, 0.02, 2, policies[seed % policies.size()], 8);
    ASSERT_NO_FATAL_FAILURE(expect_same(outcome, references[seed % 3], seed));
    joined += outcome.summary->workers_joined;
    if (outcome.deaths > 0) joined_beside_losses += outcome.summary->workers_joined;
  }
  EXPECT_GT(joined, 400);
  EXPECT_GT(joined_beside_losses, 100);
}

TEST(ControllerLossesTest, APipelineThatIsAddedTrainsTheSame) {
  const std::vector<Outcome> references = run_undisturbed(3);
  int runs_with_deaths = 0, joined = 0;
  const std::vector<std::string> policies = policy_names();
  for (std::uint32_t seed = 1; seed <= 400; ++seed) {
    const Outcome outcome = run(3, seed, 0.02, 2, policies[seed % policies.size()], 4, true);
    ASSERT_NO_FATAL_FAILURE(expect_same(outcome, references[seed % 3], seed));
    ASSERT_EQ(outcome.recorder.num_added, 1) << "seed " << seed;
    runs_with_deaths += outcome.deaths > 0 ? 1 : 0;
    joined += outcome.summary->workers_joined;
  }
  EXPECT_GT(runs_with_deaths, 200);
  EXPECT_GT(joined, 100);
}

// The cluster checks that a checkpoint has all copies of the weights that the rollouts after it need.
TEST(ControllerLossesTest, WheneverAPipelineIsCancelledItEndsWithAWholeCheckpoint) {
  int cancelled_early = 0;
  const std::vector<std::string> policies = policy_names();
  for (std::uint32_t seed = 1; seed <= 300; ++seed) {
    const Outcome outcome = run(3, seed, 0.02, seed % 2 == 0 ? 2 : 0, policies[seed % policies.size()], 0, false, true);
    ASSERT_TRUE(outcome.summary.ok()) << "seed " << seed << ": " << outcome.summary.error().message();
    ASSERT_EQ(outcome.summary->pipelines[0].steps, kSteps) << "seed " << seed;
    const std::int64_t steps = outcome.summary->pipelines[1].steps;
    if (steps == 0) continue;
    ASSERT_EQ(outcome.recorder.checkpoints.at(1).back(), steps) << "seed " << seed;
    cancelled_early += steps < kSteps ? 1 : 0;
  }
  EXPECT_GT(cancelled_early, 50);
}

TEST(ControllerLossesTest, WithoutAnyWorkerLeftTheRunEndsAndSaysHowToGoOn) {
  const Outcome outcome = run(2, 3, 0.2, 2);
  ASSERT_EQ(outcome.deaths, 2);
  ASSERT_FALSE(outcome.summary.ok());
  EXPECT_THAT(outcome.summary.error().message(), HasSubstr("no worker is left"));
  EXPECT_THAT(outcome.summary.error().message(), HasSubstr("--resume"));
}

}  // namespace
}  // namespace jigsaw
