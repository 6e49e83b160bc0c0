// One policy in training, in this process: what `jigsaw run` does with a pipeline in mode sync, step by step, for
// programs of their own. One thread at a time.
//
//   Lane lane(2);
//   auto pipeline = Pipeline::create(options, environment);
//   for (int i = 0; i < options.train.steps; ++i) (*pipeline)->step(lane);
//
// Same options and environment: the same weights, bit for bit, on any machine and lane, and the same as a job file of
// these settings, that task and that reward gives.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "core/lane.h"
#include "core/result.h"
#include "rollout/engine/rollout_engine.h"
#include "rollout/models/policy_weights.h"
#include "rollout/tokenizer/tokenizer.h"
#include "workers/api/environment.h"
#include "workers/job/job_config.h"
#include "workers/trainer/algorithm_config.h"
#include "workers/trainer/trainer.h"

namespace jigsaw {

class PipelineRuntime;

// Each field is as the key of that name in a job file, and has the same default.
struct PipelineOptions {
  std::string name = "pipeline";  // first weights and all draws depend on seed and name
  std::uint64_t seed = 0;
  std::filesystem::path model{};  // HF folder or .gguf file; empty: `scratch`
  ScratchModel scratch{};         // its character tokenizer needs `alphabet`: what prompts and completions consist of
  AlgorithmConfig algorithm{};
  RolloutConfig rollout{};
  ToolConfig tool{};    // with `call_end`: Environment::answer() is called; `type` and what is of commands mean nothing
  TrainConfig train{};  // `steps` is what a learning rate's schedule is laid out for, and no bound
  std::filesystem::path resume_from{};  // a folder that save() wrote, of the same options; empty: from the start
};

struct StepStats {
  std::int64_t step = 0;  // from 1
  double reward_mean = 0;
  double loss = 0, grad_norm = 0;  // means over the step's updates; the norm is before clipping
  std::int64_t tokens = 0;         // drawn in completions
  std::string weights_hash;        // after the step
};

class Pipeline {
 public:
  // `environment` outlives the pipeline. Errors name the option: "train.grad_slots: 0 is below 1".
  static Result<std::unique_ptr<Pipeline>> create(const PipelineOptions& options, Environment& environment);
  ~Pipeline();

  // Rollout, rewards, log-probs of the reference where the algorithm has one, and updates. Blocks until the weights are
  // new. After an error every later call returns it again; the weights are those of the last update.
  Result<StepStats> step(Lane& lane);
  std::int64_t steps_done() const;  // those before save() included

  // xxh3-128 of all weights, as in metrics and summaries.
  std::string weights_hash() const;
  // A folder that transformers, `jigsaw generate` and resume_from read: model, tokenizer, optimizer, state.json. It
  // must not be there yet, and appears complete or not at all. Not after a step that failed between two updates.
  Status save(const std::filesystem::path& folder) const;

  // Loans, for use between steps. The engine rolls out with the current weights, and is idle when step() is called.
  RolloutEngine& engine();
  Trainer& trainer();
  const Tokenizer& tokenizer() const;
  const PolicyWeights& weights() const;

 private:
  explicit Pipeline(std::unique_ptr<PipelineRuntime> runtime);

  std::unique_ptr<PipelineRuntime> runtime_;
  std::optional<Error> failure_;
};

}  // namespace jigsaw
