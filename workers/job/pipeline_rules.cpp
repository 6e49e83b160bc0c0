#include "workers/job/pipeline_rules.h"

#include <xxhash.h>

#include <algorithm>

#include "core/philox.h"

namespace jigsaw {
namespace {

constexpr int kSplitTokensMin = 16;  // chunks are not empty, and worth their messages

}  // namespace

std::uint64_t pipeline_seed(std::uint64_t job_seed, std::string_view name) {
  return philox_key(job_seed, XXH3_64bits(name.data(), name.size()), 0);
}

void derive_sizes(ModelConfig& model) {
  if (model.num_kv_heads == 0) model.num_kv_heads = model.num_heads;
  if (model.head_dim == 0 && model.num_heads > 0) model.head_dim = model.hidden_size / model.num_heads;
  if (model.intermediate_size == 0) model.intermediate_size = 4 * model.hidden_size;
  model.qkv_bias = model.family == "qwen2";
  model.qk_norm = model.family == "qwen3";
}

void derive_settings(PipelineConfig& pipeline) {
  SamplingParams& sampling = pipeline.rollout.sampling;
  if (const std::vector<int>& lengths = pipeline.rollout.forced_lengths; !lengths.empty()) {
    sampling.max_new_tokens = *std::ranges::max_element(lengths);
    sampling.ignore_eos = true;
  }
  int& longest = pipeline.algorithm.max_completion_length;
  if (longest == 0) longest = sampling.max_new_tokens;
  int& updates = pipeline.train.optimizer.total_steps;
  if (updates == 0) updates = pipeline.train.steps * pipeline.train.updates_per_step;
}

PipelineSpec to_spec(const PipelineConfig& config, TokenBins bins) {
  PipelineSpec spec;
  spec.name = config.name;
  spec.steps = config.train.steps;
  spec.prompts_per_step = config.rollout.prompts_per_step;
  spec.group_size = config.rollout.group_size;
  spec.turns = config.num_turns();
  spec.updates_per_step = config.train.updates_per_step;
  spec.grad_slots = config.train.grad_slots;
  spec.split_tokens = config.train.split_tokens;
  spec.needs_reference = config.needs_reference();
  spec.checkpoint_every = config.checkpoint.every;
  spec.checkpoints_kept = config.checkpoint.keep;
  spec.weight = config.weight;
  spec.deadline = config.deadline;
  spec.latency_cap = config.latency_cap;
  spec.staleness = config.staleness;
  spec.bins = bins;
  return spec;
}

std::vector<ConfigProblem> find_problems(const PipelineConfig& pipeline) {
  const RolloutConfig& rollout = pipeline.rollout;
  const TrainConfig& train = pipeline.train;
  std::vector<ConfigProblem> problems;
  const auto check_above_0 = [&problems](const char* section, const char* key, int value) {
    if (value < 1) problems.push_back({section, std::string(key) + ": " + std::to_string(value) + " is below 1"});
  };
  check_above_0("rollout", "prompts_per_step", rollout.prompts_per_step);
  check_above_0("rollout", "group_size", rollout.group_size);
  check_above_0("train", "steps", train.steps);
  check_above_0("train", "updates_per_step", train.updates_per_step);
  check_above_0("train", "grad_slots", train.grad_slots);
  check_above_0("train", "micro_batch_tokens", train.micro_batch_tokens);
  if (train.split_tokens != 0 && train.split_tokens < kSplitTokensMin) {
    problems.push_back({"train", "split_tokens: " + std::to_string(train.split_tokens) + " is below " +
                                     std::to_string(kSplitTokensMin) + ", and not 0, which is off"});
  }
  if (train.updates_per_step > rollout.prompts_per_step) {
    problems.push_back({"train", "updates_per_step: " + std::to_string(train.updates_per_step) +
                                     " updates need as many prompts, but rollout.prompts_per_step is " +
                                     std::to_string(rollout.prompts_per_step)});
  }
  if (rollout.sampling.max_new_tokens >= rollout.engine.max_positions) {
    const char* key = rollout.forced_lengths.empty() ? "max_new_tokens" : "forced_lengths";
    problems.push_back({"rollout", std::string(key) + ": " + std::to_string(rollout.sampling.max_new_tokens) +
                                       " must be below max_positions (" + std::to_string(rollout.engine.max_positions) +
                                       "), which holds the prompt, too"});
  }
  if (const ToolConfig& tool = pipeline.tool; tool.any()) {
    if (tool.call_end.empty()) problems.push_back({"tool", "call_end: is empty, so no call would ever end"});
    if (std::ranges::count(rollout.sampling.stop_strings, tool.call_end) > 0) {
      problems.push_back(
          {"tool", "call_end: '" + tool.call_end + "' is in rollout.stop, too, and would end completions"});
    }
    if (!rollout.forced_lengths.empty()) {
      problems.push_back({"rollout", "forced_lengths: completions of a given length cannot call a tool, too"});
    }
  }
  const Status checks[] = {validate(pipeline.algorithm), validate(train.optimizer), validate(rollout.sampling),
                           validate(rollout.engine)};
  const char* const sections[] = {"algorithm", "train", "rollout", "rollout"};
  for (std::size_t i = 0; i < std::size(checks); ++i) {
    if (!checks[i].ok()) problems.push_back({sections[i], checks[i].error().message()});
  }
  return problems;
}

}  // namespace jigsaw
