// Everything of one pipeline that lives on a worker: weights (one copy, shared by rollout and trainer), engine,
// trainer, task, reward. Executor thread only.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "core/result.h"
#include "rollout/engine/rollout_engine.h"
#include "rollout/models/policy_weights.h"
#include "rollout/tokenizer/tokenizer.h"
#include "workers/job/job_config.h"
#include "workers/reduction/gradient_exchange.h"
#include "workers/rewards/reward.h"
#include "workers/tasks/task.h"
#include "workers/trainer/trainer.h"

namespace jigsaw {

// Bytes of one pipeline on one worker: a row of the memory ledger.
struct PipelineMemory {
  std::size_t weights = 0, reference = 0, kv = 0, optimizer = 0, activations = 0;
  std::size_t total() const { return weights + reference + kv + optimizer + activations; }
};

class PipelineRuntime {
 public:
  // `checkpoint`: a folder that save_checkpoint() wrote, or empty.
  static Result<std::unique_ptr<PipelineRuntime>> create(const PipelineConfig& config,
                                                         const std::filesystem::path& checkpoint,
                                                         std::unique_ptr<GradientExchange> exchange);

  const PipelineConfig& config() const { return config_; }
  const Task& task() const { return *task_; }
  const Tokenizer& tokenizer() const { return *tokenizer_; }
  PolicyWeights& weights() { return *weights_; }
  const PolicyWeights* reference() const { return reference_.get(); }  // null without KL
  RolloutEngine& engine() { return *engine_; }
  Trainer& trainer() { return *trainer_; }
  Reward& reward() { return *reward_; }
  GradientExchange& exchange() { return *exchange_; }
  PipelineMemory memory() const;

  // The request for `sample` of `step`: a pure function of configuration and indices, on whatever worker.
  struct SampleRequest {
    Prompt prompt;
    std::string prompt_text;  // as the model sees it
    RolloutRequest request;   // its id is `sample`
  };
  Result<SampleRequest> sample_request(std::int64_t step, std::uint32_t sample) const;
  // A completion's text without the token that ended it.
  std::string completion_text(const RolloutOutput& output) const;

  // HF folder, optimizer, state.json; complete or not there.
  Status save_checkpoint(const std::filesystem::path& folder, const std::string& state_json);

 private:
  PipelineRuntime() = default;

  PipelineConfig config_;
  std::unique_ptr<Task> task_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::unique_ptr<PolicyWeights> weights_, reference_;
  std::unique_ptr<Reward> reward_;
  std::unique_ptr<GradientExchange> exchange_;
  std::unique_ptr<RolloutEngine> engine_;  // after weights and tokenizer, which it refers to
  std::unique_ptr<Trainer> trainer_;
};

// What the pipeline will take, from the model's configuration alone; for `jigsaw plan` and admission before loading.
Result<PipelineMemory> predict_memory(const PipelineConfig& config);

}  // namespace jigsaw
