// Everything of one pipeline that lives on a worker: weights (shared by rollout and trainer; with staleness n the
// rollouts have n copies of their own), engine, trainer, task, reward. One thread at a time; where rollouts have
// copies, what a rollout uses (engine, reward, its copy) and what training uses (trainer, exchange, the trained
// weights, the copy that no rollout wants any more) may be used by one thread each. Configuration, task and tokenizer
// do not change.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/result.h"
#include "graph/pipeline_spec.h"
#include "rollout/engine/rollout_engine.h"
#include "rollout/models/policy_weights.h"
#include "rollout/tokenizer/tokenizer.h"
#include "workers/job/job_config.h"
#include "workers/reduction/gradient_exchange.h"
#include "workers/reduction/split_exchange.h"
#include "workers/rewards/reward.h"
#include "workers/tasks/task.h"
#include "workers/tools/tool.h"
#include "workers/trainer/trainer.h"

namespace jigsaw {

// Bytes of one pipeline on one worker: a row of the memory ledger.
struct PipelineMemory {
  std::size_t weights = 0;          // those that are trained
  std::size_t rollout_weights = 0;  // with staleness n: n copies
  std::size_t reference = 0;
  std::size_t kv = 0;
  std::size_t optimizer = 0;    // moments, and one slot's gradient
  std::size_t gradients = 0;    // sums that wait in the slot tree, at most
  std::size_t activations = 0;  // of one micro-batch

  // KV blocks, waiting gradients and activations are there only while rollouts or updates run, once the pipelines of a
  // worker do not fit beside each other (see set_releases_memory).
  MemoryNeeds needs() const {
    return {.resident = weights + rollout_weights + reference + optimizer,
            .rollout = kv,
            .training = gradients + activations};
  }
  std::size_t total() const { return needs().resident + needs().rollout + needs().training; }
};

// What must fit at the least for all pipelines to get on, one after the other: what is resident of all, and the largest
// of what one of them takes at a time. A pipeline with staleness rolls out and trains at the same time.
std::size_t least_memory(std::span<const PipelineConfig> configs, std::span<const PipelineMemory> memories);

class PipelineRuntime {
 public:
  // `checkpoint`: a folder that save_checkpoint() wrote, or empty.
  static Result<std::unique_ptr<PipelineRuntime>> create(const PipelineConfig& config,
                                                         const std::filesystem::path& checkpoint,
                                                         std::unique_ptr<GradientExchange> exchange);
  // With what surrounds the policy of the caller's making: where `config` names types of these, they mean nothing.
  struct Surroundings {
    std::unique_ptr<Task> task;
    std::unique_ptr<Reward> reward;
    std::unique_ptr<Tool> tool{};  // there exactly if config.tool.any()
  };
  static Result<std::unique_ptr<PipelineRuntime>> create(const PipelineConfig& config, Surroundings surroundings,
                                                         const std::filesystem::path& checkpoint,
                                                         std::unique_ptr<GradientExchange> exchange);

  const PipelineConfig& config() const { return config_; }
  const Task& task() const { return *task_; }
  const Tokenizer& tokenizer() const { return *tokenizer_; }
  PolicyWeights& weights() { return *weights_; }  // those that are trained
  bool has_rollout_copy() const { return !rollout_copies_.empty(); }
  // Of the weights that the engine reads.
  std::int64_t rollout_version() const { return has_rollout_copy() ? rollout_version_ : trainer_->version(); }
  const PolicyWeights* reference() const { return reference_.get(); }  // null without KL
  RolloutEngine& engine() { return *engine_; }
  Trainer& trainer() { return *trainer_; }
  Reward& reward() { return *reward_; }
  Tool* tool() { return tool_.get(); }  // null: the pipeline has none
  // For a request to reward or tool: one that was cancelled may still be answered, and must not be taken for a later
  // one.
  std::uint64_t next_request_id() { return ++last_request_id_; }
  GradientExchange& exchange() { return *exchange_; }
  // Between updates: whom gradients are exchanged with has changed.
  void set_exchange(std::unique_ptr<GradientExchange> exchange) { exchange_ = std::move(exchange); }
  // What workers that train a long sample together send each other; null where there are no others.
  SplitExchange* split_exchange() { return split_exchange_.get(); }
  void set_split_exchange(std::unique_ptr<SplitExchange> exchange) { split_exchange_ = std::move(exchange); }
  PipelineMemory memory() const;

  // After it, rollouts can use the weights of `version`: copies the trained ones, which must be of that version, unless
  // there is such a copy already (in the first steps, after a resume). It replaces the copy of the weights `staleness`
  // steps before, which no rollout may be using. Only where rollouts have copies.
  void sync_rollout_weights(Lane& lane, std::int64_t version);
  // The engine reads the weights of `version` from now on, of which there must be a copy; without copies it reads the
  // trained ones, which must be of that version. Only while no rollout is under way, but for one of that version.
  void use_rollout_weights(std::int64_t version);
  // The trained weights have changed.
  void on_weights_trained();

  // Whether memory is given back between rollouts and between updates: taking it again costs page faults, so only where
  // the pipelines need it from each other.
  void set_releases_memory(bool releases) { releases_memory_ = releases; }
  // The engine is idle; the trainer is between slots.
  void on_rollout_ended();
  void on_training_ended();

  // The request for `sample` of `step`: a pure function of configuration and indices, on whatever worker.
  struct SampleRequest {
    Prompt prompt;
    std::string prompt_text;  // as the model sees it
    RolloutRequest request;   // its id is `sample`
  };
  Result<SampleRequest> sample_request(std::int64_t step, std::uint32_t sample) const;
  std::string text_of(std::span<const TokenId> tokens) const;  // tokens that the engine made
  // A completion's text without the token that ended it.
  std::string completion_text(const RolloutOutput& output) const;
  // A tool's answer as it goes on in the completion: between the configured texts, and cut to answer_tokens_max.
  std::vector<TokenId> answer_tokens(std::string_view answer) const;

  // HF folder, optimizer, the rollouts' copies of the weights where they have any, state.json; complete or not there:
  // what could be written of it before an error is removed. With staleness n only while these copies are what the next
  // n steps' rollouts use: up to n steps older than the trained weights.
  Status save_checkpoint(const std::filesystem::path& folder, const std::string& state_json);

 private:
  // Weights that rollouts read while others are trained.
  struct RolloutCopy {
    std::unique_ptr<PolicyWeights> weights;
    std::optional<std::int64_t> version{};
  };

  PipelineRuntime() = default;
  // Where the weights of `version` are, were or will be: those after step s in place s mod n.
  RolloutCopy& rollout_copy(std::int64_t version);
  // Versions that the rollouts of the next n steps need and that are not the trained one (of version 0: that),
  // ascending.
  std::vector<std::int64_t> versions_to_keep() const;
  void make_rollout_copies();
  Status restore(const std::filesystem::path& checkpoint);
  Status restore_rollout_copies(const std::filesystem::path& checkpoint);
  Status write_checkpoint_files(const std::filesystem::path& partial, const std::string& state_json);

  PipelineConfig config_;
  std::unique_ptr<Task> task_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::unique_ptr<PolicyWeights> weights_, reference_;
  std::vector<RolloutCopy> rollout_copies_;  // as many as `staleness`
  std::int64_t rollout_version_ = 0;         // of the copy that the engine reads
  std::uint64_t last_request_id_ = 0;
  bool releases_memory_ = false;
  std::unique_ptr<Reward> reward_;
  std::unique_ptr<Tool> tool_;
  std::unique_ptr<GradientExchange> exchange_;
  std::unique_ptr<SplitExchange> split_exchange_;
  std::unique_ptr<RolloutEngine> engine_;  // after weights and tokenizer, which it refers to
  std::unique_ptr<Trainer> trainer_;
};

// What the pipeline will take, from the model's configuration alone; for `jigsaw plan` and admission before loading.
Result<PipelineMemory> predict_memory(const PipelineConfig& config);

}  // namespace jigsaw
