#include "scheduler/simulator/workload.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "graph/graph.h"

namespace jigsaw {
namespace {

using Kind = SubStageKind;

const Profile& profile() {
  static const Profile kProfile = [] {
    auto loaded = Profile::load(std::string(JIGSAW_SOURCE_DIR) + "/configs/profiles/h100-tp4.yaml");
    CHECK_MSG(loaded.ok(), loaded.error().message());
    return *std::move(loaded);
  }();
  return kProfile;
}

Workload workload(const std::string& name) { return Workload(**profile().workload(name), profile().bins); }
const ModelCost& model_of(const Workload& workload) { return **profile().model(workload.facts().model); }

std::vector<std::uint32_t> samples_between(std::uint32_t begin, std::uint32_t end) {
  std::vector<std::uint32_t> samples(end - begin);
  std::iota(samples.begin(), samples.end(), begin);
  return samples;
}

double seconds_of(const SimulatedStep& step, Kind kind) {
  double sum = 0;
  for (const auto& stage : step.rollout) sum += stage.kind == kind ? stage.work.seconds : 0;
  return sum;
}
double rollout_s(const SimulatedStep& step) {
  double sum = 0;
  for (const auto& stage : step.rollout) sum += stage.work.seconds;
  return sum;
}

TEST(LengthDistributionTest, GoesThroughThePublishedQuantilesAndNeverTurns) {
  for (const WorkloadFacts& facts : profile().workloads) {
    const LengthDistribution lengths(facts);
    const double longest = facts.prompt_tokens + facts.response_max;
    EXPECT_NEAR(lengths.total(0.5), std::min(facts.total_quantiles[0], longest), 1e-6) << facts.name;
    EXPECT_NEAR(lengths.total(0.9), std::min(facts.total_quantiles[1], longest), 1e-6) << facts.name;
    EXPECT_NEAR(lengths.total(0.99), std::min(facts.total_quantiles[2], longest), 1e-6) << facts.name;
    EXPECT_NEAR(lengths.total(1), longest, 1e-6) << facts.name;
    double last = facts.prompt_tokens;
    for (int i = 0; i <= 10000; ++i) {
      const double total = lengths.total(i / 10000.0);
      ASSERT_GE(total, last - 1e-9) << facts.name << " at " << i;
      last = total;
    }
  }
}

// 100 steps of 1000 samples.
TEST(WorkloadTest, DrawsHaveThePublishedQuantiles) {
  for (const WorkloadFacts& facts : profile().workloads) {
    const Workload drawn(facts, profile().bins);
    std::vector<double> totals;
    for (int step = 1; step <= 100; ++step) {
      for (std::uint32_t sample = 0; sample < 1000; ++sample) {
        const SampleDraw draw = drawn.draw_sample(1, step, sample);
        ASSERT_GE(draw.response_tokens, 1);
        ASSERT_LE(draw.response_tokens, facts.response_max);
        totals.push_back(facts.prompt_tokens + draw.response_tokens);
      }
    }
    std::sort(totals.begin(), totals.end());
    const std::array<std::size_t, 3> at = {50000, 90000, 99000};
    for (std::size_t i = 0; i < 3; ++i) {
      const double published = facts.total_quantiles[i];
      EXPECT_NEAR(totals[at[i]], published, 0.03 * published) << facts.name << " quantile " << i;
    }
  }
}

TEST(WorkloadTest, ADrawDependsOnSeedStepAndSampleOnly) {
  const Workload w = workload("gsm8k-qwen3-4b");
  EXPECT_EQ(w.draw_sample(7, 3, 100), w.draw_sample(7, 3, 100));
  int differ = 0;
  for (std::uint32_t sample = 0; sample < 100; ++sample) {
    differ += w.draw_sample(7, 3, sample) != w.draw_sample(8, 3, sample);
    differ += w.draw_sample(7, 3, sample) != w.draw_sample(7, 4, sample);
    differ += w.draw_sample(7, 3, sample) != w.draw_sample(7, 3, sample + 1);
  }
  EXPECT_GT(differ, 290);
}

TEST(WorkloadTest, TurnsFollowTheHistogram) {
  const Workload w = workload("multiturn-math-qwen3-4b-instruct");
  std::array<int, 5> counts{};
  constexpr int kDraws = 100000;
  for (std::uint32_t sample = 0; sample < kDraws; ++sample) {
    ++counts[static_cast<std::size_t>(w.draw_sample(1, 1, sample).turns)];
  }
  const double sum = 0.14 + 0.15 + 0.58 + 0.12;
  EXPECT_NEAR(counts[1] / double{kDraws}, 0.14 / sum, 0.005);
  EXPECT_NEAR(counts[2] / double{kDraws}, 0.15 / sum, 0.005);
  EXPECT_NEAR(counts[3] / double{kDraws}, 0.58 / sum, 0.005);
  EXPECT_NEAR(counts[4] / double{kDraws}, 0.12 / sum, 0.005);
}

TEST(WorkloadTest, SpecIsThePublishedOne) {
  const PipelineSpec spec = workload("search-qwen3-4b-nprobe32").spec("search", 9);
  EXPECT_EQ(spec.name, "search");
  EXPECT_EQ(spec.steps, 9);
  EXPECT_EQ(spec.prompts_per_step, 256);
  EXPECT_EQ(spec.group_size, 4);
  EXPECT_EQ(spec.turns, 2);
  EXPECT_TRUE(spec.needs_reference);
  EXPECT_TRUE(spec.needs_sync);
  EXPECT_EQ(spec.bins.tail_below, 128);
  EXPECT_EQ(spec.bins.wide_from, 1024);
}

// The chain of each worker has the kinds and turns that the graph has, so that node and seconds go together by order.
TEST(DrawStepTest, TheChainIsTheGraphs) {
  for (const WorkloadFacts& facts : profile().workloads) {
    const Workload w(facts, profile().bins);
    const PipelineSpec spec = w.spec(facts.name, 3);
    for (const int num_workers : {1, 3, 8, 16}) {  // 16: 64 samples, without bulk
      const Graph graph = Graph::build(spec, 1, num_workers);
      std::vector<std::vector<std::pair<Kind, int>>> chains(static_cast<std::size_t>(num_workers) + 1);
      std::vector<std::vector<std::uint32_t>> samples(chains.size());
      for (const Node& node : graph.nodes()) {
        if (!is_rollout(node.kind)) continue;
        chains[static_cast<std::size_t>(node.worker)].emplace_back(node.kind, node.turn);
        if (!node.samples.empty()) samples[static_cast<std::size_t>(node.worker)] = node.samples;
      }
      for (std::size_t worker = 1; worker < chains.size(); ++worker) {
        const SimulatedStep step = draw_step(w, model_of(w), 1, 1, samples[worker], num_workers);
        std::vector<std::pair<Kind, int>> found;
        for (const auto& stage : step.rollout) {
          found.emplace_back(stage.kind, stage.turn);
          EXPECT_GE(stage.work.seconds, 0);
          EXPECT_TRUE(std::isfinite(stage.work.seconds));
        }
        EXPECT_EQ(found, chains[worker]) << facts.name << " on " << num_workers;
      }
    }
  }
}

TEST(DrawStepTest, NoTokenIsLostOverTheWorkers) {
  for (const char* name : {"math-qwen3-4b", "multiturn-math-qwen3-4b-instruct", "search-qwen3-4b-nprobe32"}) {
    const Workload w = workload(name);
    const SimulatedStep whole = draw_step(w, model_of(w), 5, 2, samples_between(0, 1024), 1);
    double tokens = 0, passed = 0, passed_whole = 0;
    for (std::uint32_t worker = 0; worker < 4; ++worker) {
      const SimulatedStep part = draw_step(w, model_of(w), 5, 2, samples_between(worker * 256, worker * 256 + 256), 4);
      tokens += part.tokens;
      for (const auto& stage : part.rollout) passed += stage.work.tokens;
    }
    for (const auto& stage : whole.rollout) passed_whole += stage.work.tokens;
    EXPECT_NEAR(tokens, whole.tokens, 1e-6 * tokens) << name;
    EXPECT_NEAR(passed, passed_whole, 1e-6 * passed) << name;
    // Every prompt is passed over once a group instead of once a sample; all else once.
    EXPECT_NEAR(passed_whole, whole.tokens - 768 * w.facts().prompt_tokens, 1e-6 * passed) << name;
  }
}

// A hand-made workload whose lengths are all alike, against the sum written out.
TEST(DrawStepTest, SecondsAreTheSumOfThePasses) {
  WorkloadFacts facts;
  facts.name = "flat";
  facts.prompts_per_step = 8;
  facts.prompt_tokens = 10;
  facts.response_max = 100;
  facts.total_quantiles = {110, 110, 110};
  facts.engine_overhead = 2;
  const ModelCost model{
      .name = "m", .decode = {{1, 0.01}, {101, 0.11}}, .prefill_token_s = 1e-3, .prefill_pass_s = 0.5};
  const Workload w(facts, {.tail_below = 8, .wide_from = 1024});
  std::vector<std::uint32_t> samples = samples_between(0, 32);
  const SimulatedStep step = draw_step(w, model, 1, 1, samples, 1);
  ASSERT_EQ(step.rollout.size(), 4u);
  EXPECT_NEAR(step.rollout[0].work.seconds, 2 * (0.5 + 8 * 10 * 1e-3), 1e-12);
  // Lengths below the median differ, so the batch falls: the same by hand, pass by pass.
  double bulk = 0, tail = 0;
  for (int pass = 0; pass < 100; ++pass) {
    int batch = 0;
    for (const std::uint32_t sample : samples) batch += w.draw_sample(1, 1, sample).response_tokens > pass;
    (batch >= 8 ? bulk : tail) += batch > 0 ? 2 * model.decode_s(batch, 0) : 0;
  }
  EXPECT_NEAR(step.rollout[1].work.seconds, bulk, 1e-9);
  EXPECT_NEAR(step.rollout[2].work.seconds, tail, 1e-9);
  EXPECT_EQ(step.rollout[3].work.seconds, 0);
}

TEST(DrawStepTest, TheWaitForRewardsEndsTheRolloutOnEveryWorker) {
  WorkloadFacts facts = workload("gsm8k-qwen3-4b").facts();
  const Workload without(facts, profile().bins);
  facts.reward_s = 2.5;
  const Workload with(facts, profile().bins);
  for (const int num_workers : {1, 4}) {
    const auto samples = samples_between(0, static_cast<std::uint32_t>(1024 / num_workers));
    const SimulatedStep step = draw_step(with, model_of(with), 1, 1, samples, num_workers);
    EXPECT_EQ(step.rollout.back().kind, Kind::kReward);
    EXPECT_EQ(step.rollout.back().work.seconds, 2.5);
    const SimulatedStep bare = draw_step(without, model_of(without), 1, 1, samples, num_workers);
    EXPECT_NEAR(rollout_s(step), rollout_s(bare) + 2.5, 1e-9);
  }
  // rollout_s ends with the last completion, so what is calibrated by it stays.
  const WorkloadCheck check = check_workload(with, model_of(with), 1, 4);
  const WorkloadCheck bare = check_workload(without, model_of(without), 1, 4);
  EXPECT_EQ(check.rollout_s, bare.rollout_s);
  EXPECT_EQ(check.engine_overhead, bare.engine_overhead);
}

TEST(WorkloadTest, MeasuredLengthsAreDrawnEquallyOften) {
  WorkloadFacts facts = workload("gsm8k-qwen3-4b").facts();
  facts.response_lengths = {16, 16, 16, 256};
  const Workload w(facts, profile().bins);
  int longest = 0;
  constexpr int kDraws = 10000;
  for (std::uint32_t sample = 0; sample < kDraws; ++sample) {
    const int tokens = w.draw_sample(1, 1, sample).response_tokens;
    ASSERT_TRUE(tokens == 16 || tokens == 256) << tokens;
    longest += tokens == 256;
  }
  EXPECT_NEAR(longest / double{kDraws}, 0.25, 0.02);
  EXPECT_EQ(w.lengths().response(1), 256);
}

TEST(DrawStepTest, StagesScaleWithTheWorkersPart) {
  const Workload w = workload("gsm8k-qwen3-4b");
  const SimulatedStep part = draw_step(w, model_of(w), 1, 1, samples_between(256, 512), 4);
  EXPECT_NEAR(part.logprob_s, (17.1 + 19.6) / 4, 1e-9);
  EXPECT_NEAR(part.update_s, 58.9 / 4, 1e-9);
  EXPECT_NEAR(part.sync_s, 2.7, 1e-9);
  const SimulatedStep none = draw_step(w, model_of(w), 1, 1, {}, 300);
  EXPECT_TRUE(none.rollout.empty());
  EXPECT_EQ(none.logprob_s, 0);
  EXPECT_NEAR(none.update_s, 58.9 / 300, 1e-9);
}

TEST(DrawStepTest, ToolsTakeThePublishedTimeOnceAStepAndTheSameOnAllWorkers) {
  const Workload w = workload("search-qwen3-4b-nprobe32");
  double least = 1e9, most = 0;
  for (int step = 1; step <= 50; ++step) {
    const SimulatedStep first = draw_step(w, model_of(w), 1, step, samples_between(0, 512), 2);
    const SimulatedStep second = draw_step(w, model_of(w), 1, step, samples_between(512, 1024), 2);
    const double tool_s = seconds_of(first, Kind::kTool);
    EXPECT_EQ(tool_s, seconds_of(second, Kind::kTool));
    least = std::min(least, tool_s);
    most = std::max(most, tool_s);
  }
  EXPECT_GE(least, 13.4);
  EXPECT_LE(most, 19.6);
  EXPECT_GT(most - least, 4);
}

TEST(DrawStepTest, TurnsWithoutToolsAreOneRolloutWithOneTail) {
  const Workload w = workload("multiturn-math-qwen3-4b-instruct");
  const SimulatedStep step = draw_step(w, model_of(w), 1, 1, samples_between(0, 1024), 1);
  EXPECT_EQ(seconds_of(step, Kind::kTool), 0);
  int tails = 0, bulks = 0;
  for (const auto& stage : step.rollout) {
    tails += stage.kind == Kind::kDecodeTail && stage.work.seconds > 0;
    bulks += stage.kind == Kind::kDecodeBulk && stage.work.seconds > 0;
  }
  EXPECT_EQ(tails, 1);
  EXPECT_EQ(bulks, 4);
}

// A tail that moves to another worker's ends later there than at home alone, but hardly: the physical ground of
// merging.
TEST(DrawStepTest, MergedTailsAreNearlyFree) {
  const ModelCost& model = **profile().model("qwen3-4b");
  const std::vector<SequenceLeft> one(16, {.context = 800, .tokens = 1000}), four(64, one.front());
  EXPECT_LT(decode_work(model, four, profile().bins).total().seconds,
            1.35 * decode_work(model, one, profile().bins).total().seconds);
}

// The ratio that engine_overhead in the profile states, the mean response and the tail's share beside what was
// published. Only the first is calibrated; the others are what they are, and printed.
TEST(CalibrationTest, OneWorkerTakesThePublishedRolloutTime) {
  std::printf("%-34s %17s %17s %9s %13s\n", "workload (simulated / published)", "response tokens", "rollout s",
              "overhead", "tail share");
  for (const WorkloadFacts& facts : profile().workloads) {
    const Workload w(facts, profile().bins);
    const WorkloadCheck check = check_workload(w, model_of(w), 1, 64);
    std::printf("%-34s %8.0f /%7.0f %8.1f /%7.1f %9.3f %6.2f / %4.2f\n", facts.name.c_str(), check.response_tokens,
                facts.response_tokens, check.rollout_s, facts.rollout_s, check.engine_overhead, check.tail_time_share,
                facts.tail_time_share);
    EXPECT_NEAR(check.rollout_s, facts.rollout_s, 0.005 * facts.rollout_s) << facts.name;
    EXPECT_NEAR(check.engine_overhead, facts.engine_overhead, 0.01 * facts.engine_overhead) << facts.name;
    // gsm8k-llama-3.1-8b is the one below 1: from its p99 of 495 tokens to the cap of 8192 the fitted tail is too long.
    EXPECT_GT(check.engine_overhead, 0.85) << facts.name;
    EXPECT_NEAR(check.response_tokens, facts.response_tokens, 0.2 * facts.response_tokens) << facts.name;
  }
}

// Steps differ by their stragglers, as published: the end of a rollout of
// gsm8k-qwen3-4b-instruct lay between 20 and 44 s of passes, its bulk within a tenth of its mean.
TEST(CalibrationTest, StragglersVaryMoreThanTheBulk) {
  const Workload w = workload("gsm8k-qwen3-4b-instruct");
  std::vector<double> bulk, end;
  for (int step = 1; step <= 11; ++step) {
    const SimulatedStep drawn = draw_step(w, model_of(w), 1, step, samples_between(0, 1024), 1);
    bulk.push_back(seconds_of(drawn, Kind::kPrefill) + seconds_of(drawn, Kind::kDecodeBulk));
    end.push_back(rollout_s(drawn));
  }
  const auto spread = [](const std::vector<double>& values) {
    const auto [least, most] = std::minmax_element(values.begin(), values.end());
    return *most / *least;
  };
  std::printf("11 steps: until fewer than 128 are left %.1f .. %.1f s, end %.1f .. %.1f s\n",
              *std::min_element(bulk.begin(), bulk.end()), *std::max_element(bulk.begin(), bulk.end()),
              *std::min_element(end.begin(), end.end()), *std::max_element(end.begin(), end.end()));
  EXPECT_LT(spread(bulk), 1.25);
  EXPECT_GT(spread(end), spread(bulk));
}

}  // namespace
}  // namespace jigsaw
