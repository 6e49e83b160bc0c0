#include "workers/job/job_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "workers/job/pipeline_rules.h"

namespace jigsaw {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr char kJob[] = R"(pipelines:
- name: a
  model_config: {hidden_size: 16, num_heads: 2}
  task: copy
  reward: exact_match
  rollout: {max_new_tokens: 8, max_positions: 32}
)";

JobConfig read_with(const std::vector<std::string>& settings) {
  auto job = read_job(kJob, "job.yaml", settings);
  EXPECT_TRUE(job.ok()) << (job.ok() ? "" : job.error().message());
  return job.ok() ? job->config : JobConfig();
}

std::string errors_with(const std::vector<std::string>& settings) {
  const auto job = read_job(kJob, "job.yaml", settings);
  return job.ok() ? "" : job.error().message();
}

TEST(JobConfigTest, TailsMergeUnlessToldOtherwise) {
  EXPECT_TRUE(read_with({}).merge);
  EXPECT_FALSE(read_with({"merge=off"}).merge);
}

TEST(JobConfigTest, BinsAreThoseOfTheGraphUnlessGiven) {
  EXPECT_EQ(read_with({}).bins.tail_below, TokenBins{}.tail_below);
  EXPECT_EQ(read_with({}).bins.wide_from, TokenBins{}.wide_from);
  const TokenBins bins = read_with({"bins.tail_below=2", "bins.wide_from=16"}).bins;
  EXPECT_EQ(bins.tail_below, 2);
  EXPECT_EQ(bins.wide_from, 16);
}

TEST(JobConfigTest, TheProfileIsRelativeToTheJobFile) {
  EXPECT_TRUE(read_with({}).profile.empty());
  const auto job = read_job(kJob, "/jobs/job.yaml", {"profile=here/p.yaml"});
  ASSERT_TRUE(job.ok()) << job.error().message();
  EXPECT_EQ(job->config.profile, "/jobs/here/p.yaml");
  const auto absolute = read_job(kJob, "/jobs/job.yaml", {"profile=/there/p.yaml"});
  ASSERT_TRUE(absolute.ok()) << absolute.error().message();
  EXPECT_EQ(absolute->config.profile, "/there/p.yaml");
}

constexpr char kMore[] = R"(pipelines:
- name: b
  model_config: {hidden_size: 16, num_heads: 2}
  task: sort
  reward: exact_match
  rollout: {max_new_tokens: 8, max_positions: 32}
)";

TEST(JobConfigTest, AddedPipelinesAreReadAsIfTheyHadBeenThereFromTheStart) {
  const auto job = read_job(kJob, "/jobs/job.yaml", {"seed=5"});
  ASSERT_TRUE(job.ok()) << job.error().message();
  const auto more = extended_job(*job, "/jobs/job.yaml", kMore, "/elsewhere/more.yaml");
  ASSERT_TRUE(more.ok()) << more.error().message();
  ASSERT_EQ(more->config.pipelines.size(), 2u);
  EXPECT_EQ(more->config.pipelines[0].seed, job->config.pipelines[0].seed);
  EXPECT_EQ(more->config.pipelines[1].seed, pipeline_seed(5, "b"));
  const auto again = read_job(more->yaml, "/jobs/job.yaml");
  ASSERT_TRUE(again.ok()) << again.error().message();
  EXPECT_EQ(again->yaml, more->yaml);
}

TEST(JobConfigTest, AddedPipelinesThatCannotBeAreRefusedWithTheirPlace) {
  const auto job = read_job(kJob, "job.yaml");
  const auto error = [&](const std::string& yaml) {
    const auto more = extended_job(*job, "job.yaml", yaml, "more.yaml");
    return more.ok() ? "" : more.error().message();
  };
  EXPECT_THAT(error(kJob), HasSubstr("more.yaml:2: pipelines[0].name: 'a' is the name of another pipeline already"));
  EXPECT_THAT(error("seed: 3\n" + std::string(kMore)), HasSubstr("more.yaml:1: unknown key 'seed'"));
  EXPECT_THAT(error("pipelines: []"), HasSubstr("needs at least one pipeline"));
  EXPECT_THAT(error("{}"), HasSubstr("pipelines"));
  EXPECT_THAT(error("- a"), HasSubstr("more.yaml: expected a mapping"));
}

TEST(JobConfigTest, BinsThatOverlapAreRefused) {
  EXPECT_THAT(errors_with({"bins.tail_below=64"}), HasSubstr("wide_from (64) must be above tail_below (64)"));
  EXPECT_THAT(errors_with({"bins.tail_below=0"}), HasSubstr("bins.tail_below: 0 is below 1"));
  EXPECT_THAT(errors_with({"bins.tail_bellow=3"}), HasSubstr("did you mean 'tail_below'?"));
}

TEST(JobConfigTest, ForcedLengthsAreReadAndDecideTheLongest) {
  const RolloutConfig rollout = read_with({"pipelines.a.rollout.forced_lengths=\"2x4,1x16\""}).pipelines[0].rollout;
  EXPECT_THAT(rollout.forced_lengths, ElementsAre(4, 4, 16));
  EXPECT_EQ(rollout.sampling.max_new_tokens, 16);
  EXPECT_TRUE(rollout.sampling.ignore_eos);
}

TEST(JobConfigTest, ForcedLengthsThatCannotBeAreRefused) {
  EXPECT_THAT(errors_with({"pipelines.a.rollout.forced_lengths=1y4"}), HasSubstr("expected COUNTxLENGTH"));
  EXPECT_THAT(errors_with({"pipelines.a.rollout.forced_lengths=1x32"}),
              HasSubstr("forced_lengths: 32 must be below max_positions (32)"));
  EXPECT_THAT(errors_with({"pipelines.a.rollout.forced_lengths=1x4", "pipelines.a.rollout.stop=[x]"}),
              HasSubstr("cannot end by stop, too"));
}

TEST(JobConfigTest, AToolIsReadWithItsProgramBesideTheJobFile) {
  EXPECT_EQ(read_with({}).pipelines[0].num_turns(), 1);
  const ToolConfig tool =
      read_with({"pipelines.a.tool={type: calculator, call_begin: '<<', call_end: '=', calls_max: 2}"})
          .pipelines[0]
          .tool;
  EXPECT_EQ(tool.type, "calculator");
  EXPECT_EQ(tool.call_begin, "<<");
  EXPECT_EQ(tool.call_end, "=");
  EXPECT_EQ(tool.calls_max, 2);
}

TEST(JobConfigTest, ToolsThatCannotBeAreRefused) {
  EXPECT_THAT(errors_with({"pipelines.a.tool=calculator"}), HasSubstr("call_end"));
  EXPECT_THAT(errors_with({"pipelines.a.tool={type: calculator}"}), HasSubstr("call_end"));
  EXPECT_THAT(errors_with({"pipelines.a.tool={type: calculater, call_end: '='}"}), HasSubstr("calculator"));
  EXPECT_THAT(errors_with({"pipelines.a.tool={type: calculator, call_end: ''}"}), HasSubstr("call_end: is empty"));
  EXPECT_THAT(errors_with({"pipelines.a.tool={type: calculator, call_end: '=', call_max: 3}"}), HasSubstr("calls_max"));
  EXPECT_THAT(errors_with({"pipelines.a.tool={type: calculator, call_end: '='}", "pipelines.a.rollout.stop=['=']"}),
              HasSubstr("rollout.stop"));
  EXPECT_THAT(errors_with({"pipelines.a.tool={type: calculator, call_end: '='}",
                           "pipelines.a.rollout={forced_lengths: 1x4, max_positions: 32}"}),
              HasSubstr("cannot call a tool"));
}

TEST(JobConfigTest, SamplesOfAnOlderPolicyAreWeighedUnlessTheJobSaysOtherwise) {
  EXPECT_EQ(read_with({}).pipelines[0].algorithm.importance_cap, 0);
  EXPECT_EQ(read_with({"pipelines.a.mode=one_step_off"}).pipelines[0].algorithm.importance_cap, 2);
  const std::vector<std::string> settings = {"pipelines.a.mode=one_step_off", "pipelines.a.algorithm.importance_cap=0"};
  EXPECT_EQ(read_with(settings).pipelines[0].algorithm.importance_cap, 0);
  EXPECT_EQ(read_with({"pipelines.a.mode=async"}).pipelines[0].algorithm.importance_cap, 2);
}

TEST(JobConfigTest, ModeAndMaxStalenessTellHowOldARolloutsWeightsAre) {
  const auto staleness_with = [](const std::vector<std::string>& settings) {
    return read_with(settings).pipelines[0].staleness;
  };
  EXPECT_EQ(staleness_with({}), 0);
  EXPECT_EQ(staleness_with({"pipelines.a.mode=one_step_off"}), 1);
  EXPECT_EQ(staleness_with({"pipelines.a.mode=async"}), 2);
  EXPECT_EQ(staleness_with({"pipelines.a.mode=async", "pipelines.a.max_staleness=64"}), 64);
  EXPECT_THAT(errors_with({"pipelines.a.mode=one_step_of"}), HasSubstr("did you mean 'one_step_off'?"));
  EXPECT_THAT(errors_with({"pipelines.a.mode=async", "pipelines.a.max_staleness=0"}),
              HasSubstr("max_staleness: 0 is below 1"));
  EXPECT_THAT(errors_with({"pipelines.a.mode=async", "pipelines.a.max_staleness=65"}),
              HasSubstr("max_staleness: 65 is above 64"));
  for (const std::string mode : {"sync", "one_step_off"}) {
    EXPECT_THAT(errors_with({"pipelines.a.mode=" + mode, "pipelines.a.max_staleness=3"}),
                HasSubstr("max_staleness: is of `mode: async` alone, and this is `mode: " + mode +
                          "`: set `mode: async`, or leave max_staleness out"));
  }
}

}  // namespace
}  // namespace jigsaw
