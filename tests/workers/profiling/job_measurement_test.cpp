#include "workers/profiling/job_measurement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace jigsaw {
namespace {

using Kind = SubStageKind;

constexpr char kJob[] = R"(seed: 3
bins: {tail_below: 4, wide_from: 16}
pipelines:
- name: scored
  model_config: {hidden_size: 16, num_layers: 1, num_heads: 2}
  task: {name: copy, length_min: 2, length_max: 4}
  reward: char_match
  algorithm: {beta: 0.02}
  rollout: {prompts_per_step: 4, group_size: 2, max_new_tokens: 6, max_positions: 64, max_batch: 5}
  train: {updates_per_step: 2, grad_slots: 2, micro_batch_tokens: 64}
- name: lagging
  mode: one_step_off
  model_config: {hidden_size: 16, num_layers: 1, num_heads: 2}
  task: {name: copy, length_min: 2, length_max: 4}
  reward: char_match
  rollout: {prompts_per_step: 2, group_size: 2, forced_lengths: "1x3,1x9", max_positions: 64}
)";

JobMeasurement measure(int num_threads, int num_steps) {
  const auto job = read_job(kJob, "job.yaml");
  CHECK_MSG(job.ok(), job.error().message());
  MeasureOptions options;
  options.num_steps = num_steps;
  options.num_threads = num_threads;
  options.memory_bytes_max = std::size_t{1} << 30;
  options.window_s = 0.005;
  auto measured = measure_job(job->config, options);
  CHECK_MSG(measured.ok(), measured.error().message());
  return *std::move(measured);
}

TEST(JobMeasurementTest, EveryPieceOfEveryPipelineIsMeasured) {
  const JobMeasurement measured = measure(2, 2);
  ASSERT_EQ(measured.pipelines.size(), 2u);
  EXPECT_EQ(measured.pipelines[0].name, "scored");
  for (const PipelineMeasurement& pipeline : measured.pipelines) {
    SCOPED_TRACE(pipeline.name);
    const CostMeasurement& cost = pipeline.cost;
    for (const auto& point : cost.decode) EXPECT_GT(point.seconds, 0);
    EXPECT_GE(cost.context_from, 16);
    EXPECT_GE(cost.context_token_s, 0);
    EXPECT_GT(cost.prefill.token_s + cost.prefill.pass_s, 0);
    EXPECT_GT(cost.logprob_token_s, 0);
    EXPECT_GT(cost.update_token_s, 0);
    EXPECT_GT(cost.optimizer_s, 0);
    ASSERT_EQ(pipeline.steps.steps.size(), 2u);
    const StepSeconds seconds = mean_seconds(pipeline.steps.steps);
    EXPECT_GT(seconds.rollout_s, 0);
    EXPECT_GT(seconds.tail_s, 0);
    EXPECT_LE(seconds.tail_s, seconds.rollout_s);
    EXPECT_GT(seconds.update_s, 0);
    EXPECT_EQ(seconds.reward_s, 0) << "rules judge at once";
  }
  const StepMeasurement &scored = measured.pipelines[0].steps, &lagging = measured.pipelines[1].steps;
  EXPECT_GT(mean_seconds(scored.steps).ref_logprob_s, 0);
  EXPECT_EQ(mean_seconds(scored.steps).sync_s, 0);
  EXPECT_EQ(mean_seconds(lagging.steps).ref_logprob_s, 0);
  EXPECT_GT(mean_seconds(lagging.steps).sync_s, 0);
  EXPECT_EQ(measured.pipelines[0].cost.decode.back().batch, 5) << "max_batch";
  EXPECT_EQ(measured.pipelines[1].cost.decode.back().batch, 4) << "samples of a step";
  EXPECT_EQ(scored.samples.size(), 8u);
  EXPECT_EQ(scored.prompt_tokens.size(), 16u);
  EXPECT_THAT(lagging.response_tokens, testing::ElementsAre(3, 9, 3, 9, 3, 9, 3, 9));
}

TEST(JobMeasurementTest, KindsOfTwoPipelinesMeetAtEveryShare) {
  const JobMeasurement measured = measure(2, 1);
  std::set<std::tuple<Kind, Kind, double>> rows;
  for (const SlowdownMeasurement& row : measured.slowdowns) {
    rows.insert({row.first, row.second, row.share});
    EXPECT_LE(row.first, row.second);
    EXPECT_GE(row.first_factor, 1);
    EXPECT_GE(row.second_factor, 1);
  }
  EXPECT_EQ(rows.size(), measured.slowdowns.size());
  for (const double share : {0.25, 0.5, 0.75}) {
    EXPECT_TRUE(rows.contains({Kind::kDecodeTail, Kind::kUpdate, share}));
    EXPECT_TRUE(rows.contains({Kind::kDecodeBulk, Kind::kUpdate, share}));
    EXPECT_TRUE(rows.contains({Kind::kLogprob, Kind::kUpdate, share}));
    EXPECT_TRUE(rows.contains({Kind::kPrefill, Kind::kUpdate, share}));
  }
  // Of five kinds of one and four of the other: six pairs of different kinds out of four, four with the fifth, at three
  // shares; and four of one kind each, at two.
  EXPECT_EQ(rows.size(), (6u + 4u) * 3 + 4u * 2);
}

// A judge that never answers costs its time limit: from the last completion, which asks for it, to the last reward.
TEST(JobMeasurementTest, TheWaitForTheLastRewardIsNoPartOfTheRollout) {
  const auto job = read_job(R"(pipelines:
- name: judged
  model_config: {hidden_size: 16, num_layers: 1, num_heads: 2}
  task: copy
  reward: {type: command, name: judge, command: ["sleep", "1000"], error_value: -1, time_limit_s: 0.1, processes: 2}
  rollout: {prompts_per_step: 1, group_size: 2, max_new_tokens: 4, max_positions: 32}
)",
                            "job.yaml");
  ASSERT_TRUE(job.ok()) << job.error().message();
  MeasureOptions options;
  options.num_steps = 1;
  options.window_s = 0.001;
  const auto measured = measure_job(job->config, options);
  ASSERT_TRUE(measured.ok()) << measured.error().message();
  const StepSeconds seconds = mean_seconds(measured->pipelines[0].steps.steps);
  EXPECT_GE(seconds.reward_s, 0.09);
  EXPECT_GT(seconds.rollout_s, 0);
  EXPECT_LT(seconds.rollout_s, seconds.reward_s);
}

TEST(JobMeasurementTest, WithOneThreadNothingRunsBesideAnother) { EXPECT_TRUE(measure(1, 1).slowdowns.empty()); }

}  // namespace
}  // namespace jigsaw
