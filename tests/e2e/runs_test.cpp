// What a user sees of the program: in one process, for speed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "tests/e2e/jigsaw_process.h"
#include "tests/e2e/job_text.h"

namespace jigsaw {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::Not;

class RunsTest : public testing::Test {
 protected:
  std::string path(const std::string& name) const { return (folder_.path() / name).string(); }
  TestFolder folder_;
};

TEST_F(RunsTest, EveryShippedConfigurationIsValid) {
  int configurations = 0;
  for (const auto& entry : fs::directory_iterator(fs::path(JIGSAW_SOURCE_DIR) / "configs")) {
    if (entry.path().extension() != ".yaml") continue;
    ++configurations;
    const ProcessOutcome outcome = run_jigsaw({"plan", entry.path().string(), "--set", "workers=2"});
    // A model that has not been fetched is the one thing that may be missing here.
    if (outcome.exit_code != 0) {
      EXPECT_THAT(outcome.err, HasSubstr(".gguf")) << entry.path();
    }
  }
  EXPECT_GE(configurations, 2);
}

TEST_F(RunsTest, ARunLeavesMetricsSummaryTrajectoriesAndALoadableModel) {
  const std::string job = folder_.file("job.yaml", job_text(sort_pipeline()));
  const ProcessOutcome outcome = run_jigsaw({"run", job, "--workers", "0", "--out", path("out"), "--json"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const auto summary = last_json_line(outcome.out);
  for (const char* key : {"kind", "policy", "wall_s", "tokens", "tokens_per_s", "worker_busy_share", "pipelines",
                          "migrations", "recomputed_tokens", "decisions", "decision_us_p50", "decision_us_p99"}) {
    EXPECT_TRUE(summary.contains(key)) << key;
  }
  std::ifstream file(path("out/summary.json"));
  EXPECT_EQ(nlohmann::json::parse(file), summary);
  EXPECT_EQ(count_lines(path("out/metrics.jsonl")), 8);
  EXPECT_EQ(count_lines(path("out/trajectories/sort.jsonl")), 8 * 20);
  EXPECT_THAT(outcome.err, HasSubstr("step 8/8"));
  EXPECT_THAT(outcome.err, HasSubstr("Done in"));

  const ProcessOutcome inspected = run_jigsaw({"inspect", path("out/checkpoints/sort/step-00000008"), "--json"});
  ASSERT_EQ(inspected.exit_code, 0) << inspected.err;
  EXPECT_EQ(last_json_line(inspected.out)["weights_hash"], summary["pipelines"][0]["weights_hash"]);
  EXPECT_EQ(run_jigsaw({"report", path("out")}).exit_code, 0);
  EXPECT_TRUE(fs::exists(path("out/report.html")));

  const std::string prompts = folder_.file("prompts.jsonl", "{\"prompt\": \"312=\"}\n");
  const ProcessOutcome generated = run_jigsaw({"generate", "--model", path("out/checkpoints/sort/step-00000008"),
                                               "--input", prompts, "--max-new-tokens", "5", "--temperature", "0"});
  ASSERT_EQ(generated.exit_code, 0) << generated.err;
  const auto line = last_json_line(generated.out);
  EXPECT_EQ(line["tokens"].size(), line["logprobs"].size());
}

TEST_F(RunsTest, AFolderWithARunIsNotOverwritten) {
  const std::string job = folder_.file("job.yaml", job_text(sort_pipeline()));
  ASSERT_EQ(run_jigsaw({"run", job, "--workers", "0", "--out", path("out"), "--quiet"}).exit_code, 0);
  const ProcessOutcome again = run_jigsaw({"run", job, "--workers", "0", "--out", path("out"), "--quiet"});
  EXPECT_EQ(again.exit_code, 2);
  EXPECT_THAT(again.err, HasSubstr("--resume"));
  const ProcessOutcome other =
      run_jigsaw({"run", job, "--workers", "0", "--out", path("out"), "--quiet", "--resume", "--set", "seed=3"});
  EXPECT_EQ(other.exit_code, 2);
  EXPECT_THAT(other.err, HasSubstr("trains otherwise"));
}

TEST_F(RunsTest, MoreStepsCanBeAddedOnResume) {
  const std::string job =
      folder_.file("job.yaml", job_text(sort_pipeline() + sort_pipeline("ahead") + "  mode: async\n"));
  const ProcessOutcome few = run_jigsaw({"run", job, "--workers", "0", "--out", path("out"), "--quiet", "--set",
                                         "pipelines.sort.train.steps=4", "--set", "pipelines.ahead.train.steps=4"});
  ASSERT_EQ(few.exit_code, 0) << few.err;
  for (const char* name : {"sort", "ahead"}) {
    EXPECT_TRUE(fs::exists(path("out/checkpoints/") + name + "/step-00000004")) << few.err;
  }
  const ProcessOutcome more =
      run_jigsaw({"run", job, "--workers", "0", "--out", path("out"), "--quiet", "--json", "--resume"});
  ASSERT_EQ(more.exit_code, 0) << more.err;
  const ProcessOutcome whole = run_jigsaw({"run", job, "--workers", "0", "--out", path("whole"), "--quiet", "--json"});
  EXPECT_EQ(weights_hashes(last_json_line(more.out)), weights_hashes(last_json_line(whole.out)));
  for (const char* name : {"sort", "ahead"}) {
    EXPECT_EQ(count_lines(path("out/trajectories/") + name + ".jsonl"), 8 * 20) << "each step once";
  }
}

TEST_F(RunsTest, MistakesInTheJobAreReportedAtOnceWithPlaceAndFix) {
  const std::string job = folder_.file("job.yaml",
                                       "seed: 1\nworkers: -3\npolici: greedy\npipelines:\n- name: a\n  task: sord\n"
                                       "  model_config: {hidden_size: 30, num_heads: 4}\n  reward: char_match\n"
                                       "  algorithm: {name: grpo, epsilom: 0.2}\n");
  const ProcessOutcome outcome = run_jigsaw({"run", job, "--out", path("out")});
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_EQ(outcome.out, "");
  for (const char* part :
       {"job.yaml:2: workers: -3 is below 0", "job.yaml:3: unknown key 'polici'; did you mean 'policy'?",
        "did you mean 'sort'?", "head_dim: must be even", "epsilon"}) {
    EXPECT_THAT(outcome.err, HasSubstr(part));
  }
  EXPECT_FALSE(fs::exists(path("out")));
}

TEST_F(RunsTest, WrongCommandLinesSuggestTheNearestName) {
  const ProcessOutcome command = run_jigsaw({"generat"});
  EXPECT_EQ(command.exit_code, 2);
  EXPECT_THAT(command.err, HasSubstr("generate"));
  const ProcessOutcome option = run_jigsaw({"run", "x.yaml", "--wokers", "2"});
  EXPECT_EQ(option.exit_code, 2);
  EXPECT_THAT(option.err, HasSubstr("did you mean '--workers'?"));
  EXPECT_EQ(run_jigsaw({"run", path("none.yaml")}).exit_code, 2);
  EXPECT_EQ(run_jigsaw({"--help"}).exit_code, 0);
}

TEST_F(RunsTest, AHangingRewardCostsTheConfiguredValueAndIsNamed) {
  const std::string job = folder_.file("job.yaml", job_text(R"(- name: judged
  model_config: {hidden_size: 16, num_layers: 1, num_heads: 2}
  task: {name: copy}
  reward: {type: command, name: judge, command: ["sleep", "1000"], error_value: -1, time_limit_s: 0.1, processes: 2}
  rollout: {prompts_per_step: 1, group_size: 2, max_new_tokens: 4, max_positions: 32}
  train: {steps: 1}
)"));
  const ProcessOutcome outcome = run_jigsaw({"run", job, "--workers", "0", "--out", path("out"), "--json"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(last_json_line(outcome.out)["pipelines"][0]["reward_last"], -1);
  EXPECT_THAT(outcome.err, HasSubstr("judge"));
}

TEST_F(RunsTest, AProfileIsMeasuredAndPredictionsAndRunsRestOnIt) {
  const std::string job = folder_.file("job.yaml", job_text(sort_pipeline() + reverse_pipeline()));
  const ProcessOutcome measured = run_jigsaw(
      {"profile", job, "--out", path("profile.yaml"), "--quick", "--steps", "2", "--set", "threads_per_worker=2"});
  ASSERT_EQ(measured.exit_code, 0) << measured.err;
  EXPECT_EQ(measured.out, "");
  EXPECT_THAT(measured.err, HasSubstr("decode.tail beside update"));

  const ProcessOutcome simulated = run_jigsaw({"simulate", job, "--profile", path("profile.yaml"), "--json"});
  ASSERT_EQ(simulated.exit_code, 0) << simulated.err;
  const auto summary = last_json_line(simulated.out);
  EXPECT_EQ(summary["kind"], "simulated");
  ASSERT_EQ(summary["pipelines"].size(), 2u);
  EXPECT_EQ(summary["pipelines"][0]["name"], "sort");
  EXPECT_EQ(summary["pipelines"][1]["name"], "reverse");
  for (const auto& pipeline : summary["pipelines"]) {
    EXPECT_EQ(pipeline["steps"], 8);
    EXPECT_GT(pipeline["step_s_mean"], 0);
  }
  const ProcessOutcome compared = run_jigsaw(
      {"compare", job, "--simulate", "--profile", path("profile.yaml"), "--policies", "lookahead", "--json"});
  ASSERT_EQ(compared.exit_code, 0) << compared.err;
  EXPECT_EQ(nlohmann::json::parse(compared.out).size(), 2u);
  const ProcessOutcome planned = run_jigsaw({"plan", job, "--explain", "--profile", path("profile.yaml")});
  ASSERT_EQ(planned.exit_code, 0) << planned.err;
  EXPECT_THAT(planned.out, HasSubstr("Predicted schedule"));

  // The job's own key, relative to the job's file. It changes times at most.
  const auto hashes_of = [&](const std::string& out, const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"run", job, "--workers", "0", "--out", path(out), "--quiet", "--json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const ProcessOutcome outcome = run_jigsaw(arguments);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    return weights_hashes(last_json_line(outcome.out));
  };
  const auto with = hashes_of("with", {"--set", "profile=profile.yaml"});
  EXPECT_EQ(with, hashes_of("without", {}));
  EXPECT_EQ(with, hashes_of("with", {"--resume"})) << "the profile is no part of what is trained";
  EXPECT_EQ(run_jigsaw({"simulate", job, "--set", "profile=profile.yaml"}).exit_code, 0);
}

TEST_F(RunsTest, AProfileThatCannotBeWrittenOrReadIsRefusedFirst) {
  const std::string job = folder_.file("job.yaml", job_text(sort_pipeline()));
  const ProcessOutcome unwritable = run_jigsaw({"profile", job, "--out", path("none/profile.yaml")});
  EXPECT_EQ(unwritable.exit_code, 2);
  EXPECT_THAT(unwritable.err, HasSubstr("none/profile.yaml"));
  EXPECT_THAT(unwritable.err, Not(HasSubstr("real steps")));
  const ProcessOutcome folder = run_jigsaw({"profile", job, "--out", folder_.path().string()});
  EXPECT_EQ(folder.exit_code, 2);
  EXPECT_THAT(folder.err, HasSubstr("is a folder"));
  EXPECT_EQ(run_jigsaw({"profile", job}).exit_code, 2);
  for (const char* command : {"run", "plan"}) {
    const ProcessOutcome missing = run_jigsaw({command, job, "--set", "profile=absent.yaml"});
    EXPECT_EQ(missing.exit_code, 2);
    EXPECT_THAT(missing.err, HasSubstr("absent.yaml"));
  }
}

TEST_F(RunsTest, AModelThatIsCutShortIsRefusedByName) {
  const std::string model = folder_.file("cut.gguf", std::string("GGUF\x03\0\0\0\x10", 9));
  const std::string input = folder_.file("in.jsonl", "{\"tokens\": [1, 2]}\n");
  const ProcessOutcome outcome = run_jigsaw({"logprobs", "--model", model, "--input", input});
  EXPECT_NE(outcome.exit_code, 0);
  EXPECT_THAT(outcome.err, HasSubstr("cut.gguf"));
  EXPECT_EQ(outcome.out, "");
}

TEST_F(RunsTest, AJobThatDoesNotFitIsRefusedWithTheNumbers) {
  const std::string job = folder_.file("job.yaml", job_text(sort_pipeline()));
  const ProcessOutcome outcome = run_jigsaw({"plan", job, "--set", "memory_gb_per_worker=0.00001"});
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.err, HasSubstr("pipeline 'sort' can never run"));
  EXPECT_THAT(outcome.err, HasSubstr("of a worker's 0.0102 MB"));
}

TEST_F(RunsTest, ASimulationSaysSoAndHasTheKeysOfARun) {
  const std::string job = (fs::path(JIGSAW_SOURCE_DIR) / "configs/simulated-pair.yaml").string();
  const ProcessOutcome outcome = run_jigsaw(
      {"simulate", job, "--json", "--policy", "greedy", "--workers", "3", "--set", "pipelines.0.train.steps=2"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const auto summary = last_json_line(outcome.out);
  EXPECT_EQ(summary["kind"], "simulated");
  EXPECT_EQ(summary["policy"], "greedy");
  EXPECT_EQ(summary["pipelines"][0]["steps"], 2);
  EXPECT_GT(summary["pipelines"][1]["latency_factor"], 1.0);
}

TEST_F(RunsTest, ComparingSimulatedPoliciesGivesAListWithGains) {
  const std::string job = (fs::path(JIGSAW_SOURCE_DIR) / "configs/simulated-pair.yaml").string();
  const ProcessOutcome outcome = run_jigsaw({"compare", job, "--simulate", "--policies", "lookahead,greedy", "--json"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const auto list = last_json_line(outcome.out);
  ASSERT_EQ(list.size(), 3u);
  EXPECT_EQ(list[0]["policy"], "serial");
  EXPECT_EQ(list[0]["speedup_vs_serial"], 1.0);
  EXPECT_GT(list[1]["speedup_vs_serial"], 1.0);
  EXPECT_THAT(outcome.err, HasSubstr("which bounds the gain at"));
}

TEST_F(RunsTest, ExplainTellsOptionsAndWhoWaitsForWhom) {
  const std::string job = (fs::path(JIGSAW_SOURCE_DIR) / "configs/simulated-pair.yaml").string();
  const ProcessOutcome outcome = run_jigsaw({"plan", job, "--explain"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("decode.tail@2 s1 <- decode.bulk@2 s1"));
  EXPECT_THAT(outcome.out, HasSubstr("Predicted schedule"));
  EXPECT_THAT(outcome.out, HasSubstr("option: "));
  EXPECT_THAT(outcome.out, HasSubstr("waits for"));
}

TEST_F(RunsTest, AnUnknownWorkloadOrPolicyNamesTheNearest) {
  const std::string job = (fs::path(JIGSAW_SOURCE_DIR) / "configs/simulated-pair.yaml").string();
  const ProcessOutcome workload = run_jigsaw({"simulate", job, "--set", "pipelines.0.workload=math-qwen3-4"});
  EXPECT_EQ(workload.exit_code, 2);
  EXPECT_THAT(workload.err, HasSubstr("did you mean 'math-qwen3-4b'"));
  const ProcessOutcome policy = run_jigsaw({"compare", job, "--simulate", "--policies", "lookahaed"});
  EXPECT_EQ(policy.exit_code, 2);
  EXPECT_THAT(policy.err, HasSubstr("did you mean 'lookahead'"));
  const ProcessOutcome real = run_jigsaw({"run", job, "--out", path("out")});
  EXPECT_EQ(real.exit_code, 2);
  EXPECT_THAT(real.err, HasSubstr("jigsaw simulate"));
}

}  // namespace
}  // namespace jigsaw
