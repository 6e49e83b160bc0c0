#include "workers/pipeline_runtime.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "rollout/models/model_files.h"
#include "tests/workers/trainer/temporary_folder.h"
#include "tests/workers/trainer/tiny_models.h"

namespace jigsaw {
namespace {

using testing::HasSubstr;

constexpr char kJob[] = R"(pipelines:
- name: a
  model_config: {hidden_size: 32, num_layers: 2, num_heads: 4}
  task: copy
  reward: exact_match
  rollout: {max_new_tokens: 8, max_positions: 64, max_batch: 4}
  train: {grad_slots: 4, micro_batch_tokens: 128}
)";

PipelineConfig config_with(const std::vector<std::string>& settings) {
  const auto job = read_job(kJob, "job.yaml", settings);
  EXPECT_TRUE(job.ok()) << (job.ok() ? "" : job.error().message());
  return job.ok() ? job->config.pipelines[0] : PipelineConfig();
}

std::string error_of(const PipelineConfig& config) {
  const auto runtime = PipelineRuntime::create(config, "", make_local_exchange());
  const auto memory = predict_memory(config);
  EXPECT_EQ(runtime.ok(), memory.ok());
  if (runtime.ok()) return "";
  EXPECT_EQ(runtime.error().message(), memory.error().message());
  return runtime.error().message();
}

TEST(PipelineRuntimeTest, TheLedgerBeforeLoadingIsTheOneAfter) {
  for (const auto& [mode, num_copies] :
       {std::pair("sync", 0u), std::pair("one_step_off", 1u), std::pair("async", 2u)}) {
    const PipelineConfig config =
        config_with({"pipelines.a.mode=" + std::string(mode), "pipelines.a.algorithm.beta=0.1"});
    const auto runtime = PipelineRuntime::create(config, "", make_local_exchange());
    ASSERT_TRUE(runtime.ok()) << runtime.error().message();
    const PipelineMemory loaded = (*runtime)->memory(), predicted = predict_memory(config).value();
    EXPECT_EQ(predicted.weights, loaded.weights);
    EXPECT_EQ(predicted.rollout_weights, loaded.rollout_weights);
    EXPECT_EQ(loaded.rollout_weights, num_copies * loaded.weights);
    EXPECT_EQ(predicted.reference, loaded.reference);
    EXPECT_EQ(predicted.kv, loaded.kv);
    EXPECT_EQ(predicted.optimizer, loaded.optimizer);
    EXPECT_EQ(predicted.gradients, loaded.gradients);
    EXPECT_EQ(predicted.activations, loaded.activations);
    EXPECT_EQ(loaded.needs().resident + loaded.needs().rollout + loaded.needs().training, loaded.total());
  }
}

TEST(PipelineRuntimeTest, AnswersOfToolsAreCutAndCannotFakeTokens) {
  const std::string tool = "type: calculator, call_end: '?', answer_begin: '[', answer_end: '<eos>]', ";
  const auto config_for = [&](int answer_tokens_max) {
    return config_with({"pipelines.a.model_config.tokenizer=byte",
                        "pipelines.a.tool={" + tool + "answer_tokens_max: " + std::to_string(answer_tokens_max) + "}"});
  };
  const auto refused = PipelineRuntime::create(config_for(3), "", make_local_exchange());
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.error().message(), HasSubstr("answer_begin and answer_end are 3 tokens"));
  const auto runtime = std::move(PipelineRuntime::create(config_for(9), "", make_local_exchange())).value();
  const TokenId eos = runtime->tokenizer().eos_tokens().at(0);
  EXPECT_EQ(runtime->answer_tokens("12"), (std::vector<TokenId>{'[', '1', '2', eos, ']'}));
  EXPECT_EQ(runtime->answer_tokens("<eos>678"), (std::vector<TokenId>{'[', '<', 'e', 'o', 's', '>', '6', eos, ']'}));
}

TEST(PipelineRuntimeTest, TheLeastMemoryIsWhatIsResidentAndTheLargestNeed) {
  const PipelineConfig sync = config_with({}), one_step_off = config_with({"pipelines.a.mode=one_step_off"});
  const PipelineMemory small{.weights = 10, .kv = 3, .optimizer = 30, .activations = 2};
  const PipelineMemory large{.weights = 20, .kv = 5, .optimizer = 60, .gradients = 4, .activations = 4};
  EXPECT_EQ(least_memory(std::vector{sync, sync}, std::vector{small, large}), 10u + 30 + 20 + 60 + 8);
  EXPECT_EQ(least_memory(std::vector{sync, one_step_off}, std::vector{small, large}), 10u + 30 + 20 + 60 + 5 + 8);
}

TEST(PipelineRuntimeTest, AModelFromScratchThatCannotBeIsRefused) {
  PipelineConfig config = config_with({});
  config.scratch.config.num_kv_heads = 3;
  EXPECT_THAT(error_of(config), HasSubstr("model_config: num_kv_heads: 3 does not divide num_heads 4"));
}

TEST(PipelineRuntimeTest, PositionsBeyondTheModelsOwnAreRefused) {
  const TemporaryFolder folder;
  const auto weights = tiny_model("llama");
  ASSERT_TRUE(save_hf_model(*weights, folder.path()).ok());
  ASSERT_TRUE(make_byte_tokenizer()->save(folder.path()).ok());
  PipelineConfig config = config_with({});
  config.model = folder.path();
  config.rollout.engine.max_positions = weights->config().max_positions + 1;
  EXPECT_THAT(error_of(config),
              HasSubstr("rollout.max_positions: " + std::to_string(weights->config().max_positions + 1) +
                        " are more than the " + std::to_string(weights->config().max_positions)));
}

}  // namespace
}  // namespace jigsaw
