// The job file: YAML -> typed structs, once, at start; const after. Defaults and meaning stand at the fields; README.md
// has the reference for users. Every problem is reported at once, with file, line and path.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/result.h"
#include "graph/sub_stage_kind.h"
#include "rollout/engine/rollout_engine.h"
#include "rollout/models/model_config.h"
#include "rollout/models/policy_weights.h"
#include "workers/rewards/reward.h"
#include "workers/tasks/task.h"
#include "workers/tools/tool_config.h"
#include "workers/trainer/algorithm_config.h"
#include "workers/trainer/optimizer_config.h"

namespace jigsaw {

// A llama of 2 layers of 64 channels, 4 heads and tied embeddings; its other sizes are 0 (see ScratchModel).
ModelConfig small_model();

// A policy from scratch (`model_config`), instead of `model`.
struct ScratchModel {
  // vocab_size and eos_tokens come from the tokenizer, max_positions from the engine; what else is 0 follows from the
  // other sizes (workers/job/pipeline_rules.h).
  ModelConfig config = small_model();
  std::string tokenizer = "character";  // "character" (the task's alphabet) or "byte"
  std::string alphabet{};               // character: instead of the task's
  std::uint64_t init_seed = 0;          // of the first weights; 0: drawn from the job's seed and the name
};

struct RolloutConfig {
  int prompts_per_step = 8;
  int group_size = 8;  // completions a prompt
  SamplingParams sampling{};
  EngineOptions engine{};
  // For benchmarks: sample i of a step gets exactly forced_lengths[i mod count] tokens, end tokens are ignored. Empty =
  // completions end by themselves. sampling.max_new_tokens is then the longest, sampling.ignore_eos is set.
  std::vector<int> forced_lengths{};
};

struct TrainConfig {
  int steps = 100;
  int updates_per_step = 1;  // the step's prompts are split into as many optimizer updates
  int grad_slots = 4;        // fixed partial sums of an update's gradient; workers share them out
  int micro_batch_tokens = 2048;
  int split_tokens = 0;  // longer samples are cut into chunks that workers can share; 0 = none
  bool recompute_activations = false;
  OptimizerConfig optimizer{};
};

struct CheckpointConfig {
  int every = 0;  // steps; 0 = only at the end and when interrupted
  int keep = 2;   // newest ones kept
};

struct PipelineConfig {
  std::string name;
  std::filesystem::path model;  // HF folder or .gguf; empty with `model_config`
  ScratchModel scratch;
  WeightFormat weight_format = WeightFormat::kFp32;  // what passes read matrices as (rollout/models/policy_weights.h)
  TaskConfig task;
  RewardConfig reward;
  ToolConfig tool{};
  AlgorithmConfig algorithm;
  RolloutConfig rollout;
  TrainConfig train;
  CheckpointConfig checkpoint;
  // The rollout of step s uses the weights after step s-1-staleness (up to step staleness+1: the first ones), always,
  // whatever the timing; so many updates may run beside it. Of `mode`: sync 0, one_step_off 1, async `max_staleness`.
  int staleness = 0;
  double weight = 1.0;                    // share of a worker against other pipelines
  std::chrono::milliseconds deadline{0};  // wished length of a step; 0 = none
  double latency_cap = 0;                 // most that a step may take, as a multiple of its time alone; 0 = none
  std::uint64_t seed = 0;                 // of (job seed, name): the same whichever pipelines run beside it

  bool is_sync() const { return staleness == 0; }
  bool from_scratch() const { return model.empty(); }
  bool needs_reference() const { return algorithm.beta > 0; }
  int num_turns() const { return tool.any() ? tool.calls_max + 1 : 1; }
  int samples_per_step() const { return rollout.prompts_per_step * rollout.group_size; }
};

// How sequences go to another worker when tails merge: their keys and values are computed again there, or copied.
enum class MergeBy { kAuto, kRecompute, kKvCopy };

struct JobConfig {
  std::uint64_t seed = 0;
  int workers = 1;
  int threads_per_worker = 0;                       // 0 = this machine's cores shared out
  std::string policy = "lookahead";                 // of the scheduler
  std::uint64_t memory_bytes_per_worker = 0;        // 0 = what the machine has, shared out
  std::chrono::milliseconds worker_timeout{60000};  // silence after which a worker counts as lost
  bool bind_cores = false;            // threads of a worker stay on cores of its own: only where nothing else runs
  std::filesystem::path profile;      // measured by `jigsaw profile`; predictions rest on it. Empty = none
  bool merge = true;                  // whether long tails may move onto fewer workers
  MergeBy merge_by = MergeBy::kAuto;  // auto: what is expected to take less time
  TokenBins bins;                     // where a rollout's passes go over into the next sub-stage
  std::vector<PipelineConfig> pipelines;
};

struct Job {
  JobConfig config;
  std::string yaml;  // resolved: --set applied; what workers are sent and the run's folder keeps
};

// `name` stands for the file in errors and is the folder that relative paths in it start from.
Result<Job> read_job(const std::string& yaml, const std::filesystem::path& name,
                     const std::vector<std::string>& settings = {});
// `job` with the pipelines of another YAML, which has nothing but its own `pipelines` and stands for `file` in errors.
// They are read as if they had been in the job's file, `name`, from the start: relative paths, the job's seed.
Result<Job> extended_job(const Job& job, const std::filesystem::path& name, const std::string& yaml,
                         const std::filesystem::path& file);
Result<Job> read_job_file(const std::filesystem::path& file, const std::vector<std::string>& settings = {});

}  // namespace jigsaw
