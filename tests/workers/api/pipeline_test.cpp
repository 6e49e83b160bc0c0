// The C++ API against the way of a job file: a worker that a controller tells what to do.
#include "workers/api/pipeline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "rollout/models/model_files.h"
#include "tests/workers/runtime/scripted_controller.h"
#include "tests/workers/trainer/temporary_folder.h"
#include "workers/pipeline_runtime.h"

namespace jigsaw {
namespace {

using testing::HasSubstr;

constexpr int kSteps = 3;

// A built-in task and reward as an Environment.
class BuiltInEnvironment : public Environment {
 public:
  explicit BuiltInEnvironment(const PipelineConfig& config) {
    auto runtime = PipelineRuntime::create(config, "", make_local_exchange());
    EXPECT_TRUE(runtime.ok()) << runtime.error().message();
    runtime_ = std::move(*runtime);
  }
  std::string alphabet() const { return runtime_->task().alphabet(); }
  Prompt prompt(std::int64_t index) const override { return runtime_->task().prompt(index); }
  double reward(std::int64_t index, const Completion& completion) const override {
    const Prompt asked = prompt(index);
    Reward& reward = runtime_->reward();
    EXPECT_TRUE(reward
                    .submit({.prompt = asked.text,
                             .completion = completion.text,
                             .answer = asked.answer,
                             .extra_json = asked.extra_json,
                             .num_tokens = completion.num_tokens,
                             .truncated = completion.truncated})
                    .ok());
    const auto replies = reward.poll(std::chrono::milliseconds(0));
    EXPECT_TRUE(replies.ok() && replies->size() == 1);
    return replies->at(0).reward;
  }

 private:
  std::unique_ptr<PipelineRuntime> runtime_;
};

// What is worth 1 is an 'a', wherever it stands.
class LikesA : public Environment {
 public:
  Prompt prompt(std::int64_t index) const override { return {.text = index % 2 == 0 ? "ab" : "cd"}; }
  double reward(std::int64_t, const Completion& completion) const override {
    return static_cast<double>(std::ranges::count(completion.text, 'a')) / 4;
  }
};

class FailsAtPromptThree : public LikesA {
 public:
  explicit FailsAtPromptThree(double reward) : reward_(reward) {}
  double reward(std::int64_t index, const Completion& completion) const override {
    return index == 3 ? reward_ : LikesA::reward(index, completion);
  }

 private:
  double reward_;
};

PipelineOptions small_options() {
  PipelineOptions options;
  options.seed = 3;
  options.scratch.config.hidden_size = 32;
  options.scratch.config.num_layers = 1;
  options.scratch.alphabet = "abcd";
  options.rollout = {
      .prompts_per_step = 4, .group_size = 8, .sampling = {.max_new_tokens = 4}, .engine = {.max_positions = 16}};
  options.train.micro_batch_tokens = 128;
  options.train.optimizer.lr = 1e-2;
  return options;
}

std::unique_ptr<Pipeline> make_pipeline(const PipelineOptions& options, Environment& environment) {
  auto pipeline = Pipeline::create(options, environment);
  if (pipeline.ok()) return *std::move(pipeline);
  ADD_FAILURE() << pipeline.error().message();
  return nullptr;
}

// Hashes after each step of the job's only pipeline, by a worker.
std::vector<std::string> hashes_of_job(const std::string& yaml, const PipelineConfig& config) {
  ScriptedController controller(yaml, WorkerOptions());
  const auto num_samples = static_cast<std::uint32_t>(config.samples_per_step());
  const int num_updates = config.train.updates_per_step;
  std::vector<std::string> hashes;
  for (int step = 1; step <= kSteps; ++step) {
    const std::int64_t version = (step - 1) * num_updates;
    const std::uint64_t rollout = controller.rollout(0, step, version, num_samples);
    if (!controller.wait({rollout})) break;
    std::vector<wire::Trajectory> trajectories = controller.done(rollout).trajectories;
    if (config.needs_reference()) {
      const std::uint64_t logprob = controller.logprob(0, step, trajectories);
      if (!controller.wait({logprob})) break;
      for (const wire::Trajectory& scored : controller.done(logprob).done.trajectories()) {
        *trajectories[scored.sample()].mutable_ref_logprobs() = scored.ref_logprobs();
      }
    }
    std::uint64_t update = 0;
    for (int i = 0; i < num_updates; ++i) {
      const std::size_t begin = trajectories.size() * i / num_updates,
                        end = trajectories.size() * (i + 1) / num_updates;
      update = controller.update(0, step, version + i, {trajectories.begin() + begin, trajectories.begin() + end},
                                 config.train.grad_slots);
      if (!controller.wait({update})) return hashes;
    }
    hashes.push_back(controller.done(update).done.update().weights_hash());
  }
  return hashes;
}

TEST(PipelineTest, TrainsAsTheSameJobOnAWorker) {
  const std::string yaml = R"(
seed: 7
pipelines:
- name: sort
  model_config: {family: qwen3, hidden_size: 32, num_heads: 2, num_kv_heads: 1}
  task: {name: sort, length_min: 2, length_max: 4, alphabet: "1234"}
  reward: {type: char_match}
  algorithm: {name: dr_grpo, beta: 0.1}
  rollout: {prompts_per_step: 4, group_size: 4, max_new_tokens: 6, max_positions: 32, max_batch: 7}
  train: {steps: 3, updates_per_step: 2, grad_slots: 3, micro_batch_tokens: 64, lr: 1e-2, schedule: linear}
)";
  const auto job = read_job(yaml, "job.yaml");
  ASSERT_TRUE(job.ok()) << job.error().message();
  const PipelineConfig& config = job->config.pipelines[0];
  const std::vector<std::string> expected = hashes_of_job(yaml, config);
  ASSERT_EQ(expected.size(), static_cast<std::size_t>(kSteps));
  EXPECT_NE(expected[0], expected[2]);

  BuiltInEnvironment environment(config);
  PipelineOptions options;
  options.name = "sort";
  options.seed = 7;
  options.scratch.config.family = "qwen3";
  options.scratch.config.hidden_size = 32;
  options.scratch.config.num_heads = 2;
  options.scratch.config.num_kv_heads = 1;
  options.scratch.alphabet = environment.alphabet();
  options.algorithm.name = "dr_grpo";
  options.algorithm.beta = 0.1;
  options.rollout.prompts_per_step = 4;
  options.rollout.group_size = 4;
  options.rollout.sampling.max_new_tokens = 6;
  options.rollout.engine.max_positions = 32;
  options.rollout.engine.max_batch = 16;  // another batch, the same tokens
  options.train = {.steps = kSteps, .updates_per_step = 2, .grad_slots = 3, .micro_batch_tokens = 64};
  options.train.optimizer.lr = 1e-2;
  options.train.optimizer.schedule = "linear";
  for (const int num_threads : {1, 2}) {
    Lane lane(num_threads);
    const auto pipeline = make_pipeline(options, environment);
    ASSERT_NE(pipeline, nullptr);
    for (int i = 0; i < kSteps; ++i) {
      const auto stats = pipeline->step(lane);
      ASSERT_TRUE(stats.ok()) << stats.error().message();
      EXPECT_EQ(stats->step, i + 1);
      EXPECT_EQ(stats->weights_hash, expected[static_cast<std::size_t>(i)]) << num_threads << " threads";
      EXPECT_EQ(stats->weights_hash, pipeline->weights_hash());
    }
  }
}

TEST(PipelineTest, TheRewardRises) {
  LikesA environment;
  const auto pipeline = make_pipeline(small_options(), environment);
  ASSERT_NE(pipeline, nullptr);
  Lane lane(1);
  double first = 0, last = 0;
  for (int i = 0; i < 30; ++i) {
    const auto stats = pipeline->step(lane);
    ASSERT_TRUE(stats.ok()) << stats.error().message();
    if (i == 0) first = stats->reward_mean;
    last = stats->reward_mean;
    EXPECT_GE(stats->tokens, 32);  // 4 x 8 completions
    EXPECT_LE(stats->tokens, 32 * 4);
  }
  EXPECT_LT(first, 0.4);
  EXPECT_GT(last, 0.9);
}

// After a '?' comes the answer, so only a call brings "?x".
class AnswersX : public LikesA {
 public:
  double reward(std::int64_t, const Completion& completion) const override {
    return completion.text.find("?x") == std::string::npos ? 0 : 1;
  }
  std::string answer(std::int64_t index, const ToolCall& call) const override {
    EXPECT_LT(index, 40 * 4);
    EXPECT_EQ(call.completion.back(), '?');
    EXPECT_EQ(call.text.find('?'), std::string::npos);
    EXPECT_LT(call.index, 2);
    return call.text.empty() ? "x" : "b";
  }
};

TEST(PipelineTest, APolicyLearnsToCallTheEnvironment) {
  AnswersX environment;
  PipelineOptions options = small_options();
  options.scratch.alphabet = "abcd?x";
  options.tool.call_end = "?";
  options.tool.answer_end = "c";
  options.tool.calls_max = 2;
  options.rollout.sampling.max_new_tokens = 6;
  std::vector<std::string> hashes[2];
  for (const int num_threads : {1, 2}) {
    const auto pipeline = make_pipeline(options, environment);
    ASSERT_NE(pipeline, nullptr);
    Lane lane(num_threads);
    double first = 0, last = 0;
    for (int i = 0; i < 40; ++i) {
      const auto stats = pipeline->step(lane);
      ASSERT_TRUE(stats.ok()) << stats.error().message();
      if (i == 0) first = stats->reward_mean;
      last = stats->reward_mean;
      hashes[num_threads - 1].push_back(stats->weights_hash);
    }
    EXPECT_LT(first, 0.5);
    EXPECT_GT(last, 0.9);
  }
  EXPECT_EQ(hashes[0], hashes[1]);
}

TEST(PipelineTest, ARewardThatIsNotFiniteFailsTheStep) {
  for (const double reward : {std::numeric_limits<double>::quiet_NaN(), -std::numeric_limits<double>::infinity()}) {
    FailsAtPromptThree environment(reward);
    const auto pipeline = make_pipeline(small_options(), environment);
    ASSERT_NE(pipeline, nullptr);
    const std::string hash = pipeline->weights_hash();
    Lane lane(1);
    for (int i = 0; i < 2; ++i) {  // and stays failed
      const auto stats = pipeline->step(lane);
      ASSERT_FALSE(stats.ok());
      EXPECT_EQ(stats.error().code(), ErrorCode::kInvalidArgument);
      EXPECT_THAT(stats.error().message(), HasSubstr("prompt 3: Environment::reward() gave"));
      EXPECT_THAT(stats.error().message(), HasSubstr("it must be finite"));
    }
    EXPECT_EQ(pipeline->weights_hash(), hash);
    EXPECT_TRUE(pipeline->engine().idle());
  }
}

TEST(PipelineTest, WhatWasSavedGoesOnTheSame) {
  const TemporaryFolder folder;
  LikesA environment;
  PipelineOptions options = small_options();
  Lane lane(1);
  std::vector<std::string> hashes;
  const auto whole = make_pipeline(options, environment);
  ASSERT_NE(whole, nullptr);
  for (int i = 0; i < 3; ++i) {
    const auto stats = whole->step(lane);
    ASSERT_TRUE(stats.ok()) << stats.error().message();
    hashes.push_back(stats->weights_hash);
    if (i != 1) continue;
    const Status saved = whole->save(folder.path() / "two");
    ASSERT_TRUE(saved.ok()) << saved.error().message();
  }
  const Status again = whole->save(folder.path() / "two");
  ASSERT_FALSE(again.ok());
  EXPECT_THAT(again.error().message(), HasSubstr("two: is there already"));

  const auto weights = load_model(folder.path() / "two");
  ASSERT_TRUE(weights.ok()) << weights.error().message();
  EXPECT_EQ((*weights)->hash(), hashes[1]);
  options.resume_from = folder.path() / "two";
  const auto resumed = make_pipeline(options, environment);
  ASSERT_NE(resumed, nullptr);
  EXPECT_EQ(resumed->steps_done(), 2);
  const auto third = resumed->step(lane);
  ASSERT_TRUE(third.ok()) << third.error().message();
  EXPECT_EQ(third->weights_hash, hashes[2]);
}

TEST(PipelineTest, OptionsThatCannotBeAreNamed) {
  LikesA environment;
  PipelineOptions options = small_options();
  options.scratch.alphabet.clear();
  options.train.grad_slots = 0;
  options.algorithm.name = "grop";
  const auto pipeline = Pipeline::create(options, environment);
  ASSERT_FALSE(pipeline.ok());
  EXPECT_THAT(pipeline.error().message(), HasSubstr("scratch.alphabet: is empty"));
  EXPECT_THAT(pipeline.error().message(), HasSubstr("train.grad_slots: 0 is below 1"));
  EXPECT_THAT(pipeline.error().message(), HasSubstr("'grpo'"));
}

TEST(PipelineTest, AStepWantsAnIdleEngine) {
  LikesA environment;
  const auto pipeline = make_pipeline(small_options(), environment);
  ASSERT_NE(pipeline, nullptr);
  Lane lane(1);
  ASSERT_TRUE(pipeline->engine().submit({.id = 1, .prompt = pipeline->tokenizer().encode("ab"), .sampling = {}}).ok());
  ASSERT_FALSE(pipeline->step(lane).ok());
  (void)pipeline->engine().cancel(1);
  EXPECT_TRUE(pipeline->step(lane).ok());
}

}  // namespace
}  // namespace jigsaw
