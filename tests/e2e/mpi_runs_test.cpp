// The promise itself, on real processes under mpirun: the schedule never changes the training.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <fstream>
#include <map>

#include "tests/e2e/jigsaw_process.h"
#include "tests/e2e/job_text.h"

namespace jigsaw {
namespace {

namespace fs = std::filesystem;
using Hashes = std::map<std::string, std::string>;

class MpiRunsTest : public testing::Test {
 protected:
  Hashes run(const std::string& job, const std::vector<std::string>& options, const std::string& out) {
    std::vector<std::string> arguments = {"run", job, "--out", (folder_.path() / out).string(), "--json", "--quiet"};
    arguments.insert(arguments.end(), options.begin(), options.end());
    const ProcessOutcome outcome = run_jigsaw(arguments);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    return weights_hashes(last_json_line(outcome.out));
  }
  TestFolder folder_;
};

TEST_F(MpiRunsTest, WeightsAreTheSameOnAnyNumberOfWorkersAloneOrTogether) {
  const std::string both = folder_.file("both.yaml", job_text(sort_pipeline() + reverse_pipeline()));
  const std::string alone = folder_.file("alone.yaml", job_text(sort_pipeline()));
  const Hashes reference = run(both, {"--workers", "1"}, "w1");
  ASSERT_EQ(reference.size(), 2u);
  EXPECT_NE(reference.at("sort"), reference.at("reverse"));
  EXPECT_EQ(run(both, {"--workers", "2"}, "w2"), reference);
  EXPECT_EQ(run(both, {"--workers", "3"}, "w3"), reference);
  EXPECT_EQ(run(both, {"--workers", "0"}, "w0"), reference);
  EXPECT_EQ(run(both, {"--workers", "2", "--policy", "serial"}, "serial"), reference);
  EXPECT_EQ(run(both, {"--workers", "2", "--set", "threads_per_worker=2"}, "threads"), reference);
  EXPECT_EQ(run(alone, {"--workers", "2"}, "alone").at("sort"), reference.at("sort"));
}

// compare fails by itself when a policy ends in other weights.
TEST_F(MpiRunsTest, EveryPolicyEndsInTheSameWeights) {
  const std::string job = folder_.file("both.yaml", job_text(sort_pipeline() + reverse_pipeline()));
  const ProcessOutcome outcome =
      run_jigsaw({"compare", job, "--workers", "2", "--json", "--out", (folder_.path() / "compare").string()});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const auto list = last_json_line(outcome.out);
  ASSERT_EQ(list.size(), 6u);
  for (const auto& entry : list) EXPECT_EQ(weights_hashes(entry), weights_hashes(list[0])) << entry["policy"];
}

// Long tails move between the workers while they run, by both ways, and to a worker whose kernels are others.
TEST_F(MpiRunsTest, MovedRolloutsTrainTheSame) {
  const std::string job = folder_.file("job.yaml", job_text(tailed(sort_pipeline()) + tailed(reverse_pipeline())));
  const Hashes reference = run(job, {"--workers", "1"}, "w1");
  const auto expect_moves = [&](const std::string& out) {
    const auto summary = nlohmann::json::parse(read_whole(folder_.path() / out / "summary.json"));
    EXPECT_GT(summary["migrations"], 0) << out;
  };
  for (const auto& [way, workers] : {std::pair("recompute", "2"), std::pair("kv_copy", "3")}) {
    EXPECT_EQ(
        run(job, {"--workers", workers, "--policy", "greedy_merge", "--set", std::string("merge_by=") + way}, way),
        reference)
        << way;
    expect_moves(way);
  }
  // The portable kernels are fifty times slower, hence the short job.
  const std::string short_job = folder_.file("short.yaml", job_text(tailed(sort_pipeline())));
  const std::vector<std::string> two_steps = {"--set", "pipelines.0.train.steps=2"};
  const Hashes short_reference = run(short_job, two_steps, "short");
  std::vector<std::string> rank = {JIGSAW_PROGRAM, "run", short_job, "--out", (folder_.path() / "mixed").string()};
  for (const char* option : {"--json", "--quiet", "--policy", "greedy_merge", "--set", "merge_by=kv_copy"}) {
    rank.emplace_back(option);
  }
  rank.insert(rank.end(), two_steps.begin(), two_steps.end());
  std::vector<std::string> argv = {"mpirun", "--allow-run-as-root", "--oversubscribe", "-n", "2"};
  argv.insert(argv.end(), rank.begin(), rank.end());
  for (const char* next : {":", "-n", "1", "-x", "JIGSAW_KERNELS=portable"}) argv.emplace_back(next);
  argv.insert(argv.end(), rank.begin(), rank.end());
  const ProcessOutcome mixed = run_process(argv);
  ASSERT_EQ(mixed.exit_code, 0) << mixed.err;
  EXPECT_EQ(weights_hashes(last_json_line(mixed.out)), short_reference);
  expect_moves("mixed");
}

TEST_F(MpiRunsTest, CompletionsThatCallToolsTrainTheSameOnAnyWorkers) {
  const std::string job = folder_.file("job.yaml", job_text(calls_pipeline() + sort_pipeline()));
  const Hashes reference = run(job, {"--workers", "1"}, "w1");
  const std::string metrics = read_whole(folder_.path() / "w1" / "metrics.jsonl");
  EXPECT_THAT(metrics, testing::HasSubstr("\"tool_calls\":"));
  EXPECT_THAT(metrics, testing::HasSubstr("\"tool_error\":\"tool 'calculator': no arithmetic"));
  EXPECT_EQ(run(job, {"--workers", "0", "--policy", "serial"}, "w0"), reference);
  EXPECT_EQ(run(job, {"--workers", "2"}, "w2"), reference);
  EXPECT_EQ(run(job, {"--workers", "3", "--policy", "greedy_merge"}, "w3"), reference);
}

// Losses, too, are the same to the bit.
TEST_F(MpiRunsTest, SamplesThatWorkersShareTrainTheSameOnAnyWorkers) {
  const std::string job = folder_.file("job.yaml", job_text(long_pipeline() + sort_pipeline()));
  const auto losses = [&](const std::string& out) {
    std::map<std::string, std::vector<double>> values;
    std::ifstream lines(folder_.path() / out / "metrics.jsonl");
    for (std::string line; std::getline(lines, line);) {
      const auto step = nlohmann::json::parse(line);
      for (const char* key : {"loss", "grad_norm", "entropy", "kl"}) values[step["pipeline"]].push_back(step[key]);
    }
    return values;
  };
  const Hashes reference = run(job, {"--workers", "1"}, "w1");
  for (const auto& [workers, policy] :
       {std::pair("0", "lookahead"), {"2", "lookahead"}, {"3", "greedy"}, {"2", "serial"}}) {
    const std::string out = std::string("w") + workers + policy;
    EXPECT_EQ(run(job, {"--workers", workers, "--policy", policy}, out), reference) << out;
    EXPECT_EQ(losses(out), losses("w1")) << out;
  }
  EXPECT_EQ(run(job, {"--workers", "2", "--set", "threads_per_worker=2"}, "threads"), reference);
  const std::string alone = folder_.file("alone.yaml", job_text(long_pipeline()));
  EXPECT_EQ(run(alone, {"--workers", "2"}, "alone").at("long"), reference.at("long"));
}

TEST_F(MpiRunsTest, SamplesThatWorkersShareTrainTheSameAfterAKill) {
  const std::string job = folder_.file("job.yaml", job_text(longer(long_pipeline())));
  const Hashes reference = run(job, {"--workers", "0"}, "w0");
  const ProcessOutcome killed =
      run_jigsaw({"run", job, "--workers", "2", "--out", (folder_.path() / "killed").string(), "--quiet"},
                 [&](int) { return count_lines(folder_.path() / "killed" / "metrics.jsonl") >= 8; });
  ASSERT_EQ(killed.exit_code, 128 + 9) << "it ended before the kill: " << killed.err;
  EXPECT_EQ(run(job, {"--workers", "3", "--resume"}, "killed"), reference);
}

class StaleMpiRunsTest : public MpiRunsTest, public testing::WithParamInterface<const char*> {};

TEST_P(StaleMpiRunsTest, TrainsTheSameOnAnyWorkersAndAfterAKill) {
  const std::string job = folder_.file("job.yaml", job_text(longer(sort_pipeline() + GetParam() + reverse_pipeline())));
  const Hashes reference = run(job, {"--workers", "0"}, "w0");
  EXPECT_EQ(run(job, {"--workers", "2"}, "w2"), reference);
  EXPECT_EQ(run(job, {"--workers", "3", "--policy", "serial"}, "w3"), reference);
  EXPECT_EQ(run(job, {"--workers", "1", "--set", "threads_per_worker=2"}, "lanes"), reference);
  const std::string synchronous = folder_.file("sync.yaml", job_text(longer(sort_pipeline())));
  EXPECT_NE(run(synchronous, {"--workers", "0"}, "sync").at("sort"), reference.at("sort"));
  for (const int killed_after_steps : {9, 30}) {
    const std::string out = "killed-" + std::to_string(killed_after_steps);
    const ProcessOutcome killed =
        run_jigsaw({"run", job, "--workers", "2", "--out", (folder_.path() / out).string(), "--quiet"},
                   [&](int) { return count_lines(folder_.path() / out / "metrics.jsonl") >= killed_after_steps; });
    ASSERT_EQ(killed.exit_code, 128 + 9) << "it ended before the kill: " << killed.err;
    EXPECT_EQ(run(job, {"--workers", "2", "--resume"}, out), reference) << "killed after " << killed_after_steps;
  }
}

INSTANTIATE_TEST_SUITE_P(Modes, StaleMpiRunsTest,
                         testing::Values("  mode: one_step_off\n", "  mode: async\n",
                                         "  mode: async\n  max_staleness: 3\n"));

TEST_F(MpiRunsTest, WeightsReadInBf16TrainTheSameOnAnyWorkersAndAfterAKill) {
  const std::string job =
      folder_.file("job.yaml", job_text(longer(sort_pipeline() + "  weight_format: bf16\n  mode: one_step_off\n" +
                                               reverse_pipeline() + "  weight_format: bf16\n")));
  const std::string in_fp32 = folder_.file("fp32.yaml", job_text(longer(reverse_pipeline())));
  const Hashes reference = run(job, {"--workers", "1"}, "w1");
  EXPECT_EQ(run(job, {"--workers", "2"}, "w2"), reference);
  EXPECT_NE(run(in_fp32, {"--workers", "0"}, "fp32").at("reverse"), reference.at("reverse"));
  const ProcessOutcome killed =
      run_jigsaw({"run", job, "--workers", "2", "--out", (folder_.path() / "killed").string(), "--quiet"},
                 [&](int) { return count_lines(folder_.path() / "killed" / "metrics.jsonl") >= 15; });
  ASSERT_EQ(killed.exit_code, 128 + 9) << "it ended before the kill: " << killed.err;
  EXPECT_EQ(run(job, {"--workers", "2", "--resume"}, "killed"), reference);
}

TEST_F(MpiRunsTest, ADifferentSeedTrainsOtherWeights) {
  const std::string job = folder_.file("job.yaml", job_text(sort_pipeline()));
  EXPECT_NE(run(job, {"--workers", "0"}, "a"), run(job, {"--workers", "0", "--set", "seed=8"}, "b"));
}

TEST_F(MpiRunsTest, MpirunStartedByHandDoesTheSame) {
  const std::string job = folder_.file("job.yaml", job_text(sort_pipeline()));
  const Hashes reference = run(job, {"--workers", "0"}, "reference");
  const ProcessOutcome outcome =
      run_process({"mpirun", "--allow-run-as-root", "--oversubscribe", "-n", "3", JIGSAW_PROGRAM, "run", job, "--out",
                   (folder_.path() / "hand").string(), "--json", "--quiet"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(weights_hashes(last_json_line(outcome.out)), reference);
}

// kill -9 of all processes at several moments, told by what is in the run's folder by then.
TEST_F(MpiRunsTest, ResumeAfterKillNineEndsInTheSameWeights) {
  const std::string job = folder_.file("job.yaml", job_text(longer(sort_pipeline() + reverse_pipeline())));
  const Hashes reference = run(job, {"--workers", "2"}, "reference");
  const auto trajectories = [](const std::string& out) {
    std::map<std::string, int> lines;
    for (const char* name : {"sort", "reverse"})
      lines[name] = count_lines(fs::path(out) / "trajectories" / (std::string(name) + ".jsonl"));
    return lines;
  };
  const auto complete = trajectories((folder_.path() / "reference").string());
  for (const int killed_after_steps : {0, 1, 12, 27, 45}) {
    const std::string out = (folder_.path() / ("killed-" + std::to_string(killed_after_steps))).string();
    const ProcessOutcome killed = run_jigsaw({"run", job, "--workers", "2", "--out", out, "--quiet"}, [&](int) {
      return fs::exists(fs::path(out) / "job.yaml") &&
             count_lines(fs::path(out) / "metrics.jsonl") >= killed_after_steps;
    });
    ASSERT_EQ(killed.exit_code, 128 + 9) << "it ended before the kill: " << killed.err;
    const ProcessOutcome resumed =
        run_jigsaw({"run", job, "--workers", "2", "--out", out, "--resume", "--json", "--quiet"});
    ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
    EXPECT_EQ(weights_hashes(last_json_line(resumed.out)), reference) << "killed after " << killed_after_steps;
    EXPECT_EQ(trajectories(out), complete) << "a prompt was lost or repeated";
    EXPECT_EQ(count_lines(fs::path(out) / "metrics.jsonl"), 2 * kLongSteps);
  }
}

TEST_F(MpiRunsTest, ControlCEndsWithACheckpointAndResumeGoesOn) {
  const std::string job = folder_.file("job.yaml", job_text(longer(sort_pipeline())));
  const Hashes reference = run(job, {"--workers", "0"}, "reference");
  const std::string out = (folder_.path() / "stopped").string();
  bool sent = false;
  const ProcessOutcome stopped = run_jigsaw(
      {"run", job, "--workers", "2", "--out", out, "--json", "--quiet", "--set", "pipelines.0.checkpoint.every=0"},
      [&](int pid) {
        if (!sent && count_lines(fs::path(out) / "metrics.jsonl") >= 2) {
          sent = true;
          ::kill(pid, SIGINT);
        }
        return false;
      });
  ASSERT_EQ(stopped.exit_code, 0) << stopped.err;
  const auto summary = last_json_line(stopped.out);
  ASSERT_TRUE(summary["interrupted"]) << "it was over before the signal";
  const std::int64_t steps = summary["pipelines"][0]["steps"];
  ASSERT_LT(steps, kLongSteps);
  char checkpoint[64];
  std::snprintf(checkpoint, sizeof checkpoint, "checkpoints/sort/step-%08lld", static_cast<long long>(steps));
  EXPECT_TRUE(fs::exists(fs::path(out) / checkpoint / "state.json"));
  EXPECT_EQ(run(job, {"--workers", "2", "--resume"}, "stopped"), reference);
}

TEST_F(MpiRunsTest, AWorkerThatCannotGoOnEndsTheRunWithItsReason) {
  const std::string job = folder_.file("job.yaml", job_text(R"(- name: judged
  model_config: {hidden_size: 16, num_layers: 1, num_heads: 2}
  task: {name: copy}
  reward: {type: command, name: judge, command: ["cat", "/dev/null"], on_error: fail, time_limit_s: 5}
  rollout: {prompts_per_step: 1, group_size: 2, max_new_tokens: 4, max_positions: 32}
  train: {steps: 2}
)"));
  const ProcessOutcome outcome =
      run_jigsaw({"run", job, "--workers", "2", "--out", (folder_.path() / "out").string(), "--quiet"});
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.err, testing::HasSubstr("judge"));
}

}  // namespace
}  // namespace jigsaw
