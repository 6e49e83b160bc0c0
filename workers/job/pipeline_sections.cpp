#include "workers/job/pipeline_sections.h"

#include <algorithm>
#include <cstdlib>

#include "core/nearest_name.h"
#include "workers/job/completion_lengths.h"
#include "workers/job/pipeline_rules.h"

namespace jigsaw {
namespace {

constexpr int kSizeMax = 1 << 20;  // of any dimension of a model from scratch
// Of samples of weights that are older than in sync mode, unless the job says otherwise.
constexpr double kImportanceCap = 2;
constexpr int kMaxStaleness = 2;        // of async, unless the job says otherwise
constexpr int kMaxStalenessLimit = 64;  // copies of the weights

// "~/x" and "$CACHE/x" (the cache bootstrap.sh fills); else relative to the job file.
std::filesystem::path resolve_path(const std::string& text, const std::filesystem::path& folder) {
  const char* home = std::getenv("HOME");
  if (text.starts_with("$CACHE/")) {
    const char* cache = std::getenv("XDG_CACHE_HOME");
    const std::filesystem::path root = cache != nullptr && *cache != '\0'
                                           ? std::filesystem::path(cache)
                                           : std::filesystem::path(home ? home : "") / ".cache";
    return root / "jigsaw" / text.substr(7);
  }
  if (text.starts_with("~/") && home != nullptr) return std::filesystem::path(home) / text.substr(2);
  const std::filesystem::path path(text);
  return path.is_absolute() ? path : folder / path;
}

void read_scratch_model(YamlSection& yaml, PipelineConfig& pipeline) {
  YamlSection section = yaml.section("model_config");
  ModelConfig& model = pipeline.scratch.config;
  section.read_choice("family", model.family, {"llama", "mistral", "qwen2", "qwen3"});
  section.read("hidden_size", model.hidden_size, 2, kSizeMax);
  section.read("num_layers", model.num_layers, 1, 1024);
  section.read("num_heads", model.num_heads, 1, 4096);
  section.read("num_kv_heads", model.num_kv_heads, 1, 4096);
  section.read("head_dim", model.head_dim, 2, 4096);
  section.read("intermediate_size", model.intermediate_size, 1, kSizeMax);
  section.read("tied_embeddings", model.tied_embeddings);
  double rope_theta = model.rope.theta;
  section.read("rope_theta", rope_theta, 1, 1e12);
  model.rope.theta = rope_theta;
  section.read("sliding_window", model.sliding_window, 0, kSizeMax);
  if (model.sliding_window > 0 && model.family != "mistral") {
    section.add_error("sliding_window", "only family mistral has one");
  }
  derive_sizes(model);
  section.read_choice("tokenizer", pipeline.scratch.tokenizer, {"character", "byte"});
  section.read("alphabet", pipeline.scratch.alphabet);
  section.read("init_seed", pipeline.scratch.init_seed);
  if (model.num_heads % model.num_kv_heads != 0) {
    section.add_error("num_kv_heads", "must divide num_heads (" + std::to_string(model.num_heads) + ")");
  }
  if (model.head_dim % 2 != 0 || model.head_dim == 0) {
    section.add_error("head_dim", "must be even and above 0, but is " + std::to_string(model.head_dim) +
                                      " (hidden_size / num_heads unless given)");
  }
  section.finish();
}

void read_forced_lengths(YamlSection& section, RolloutConfig& rollout) {
  std::string text;
  section.read("forced_lengths", text);
  if (text.empty()) return;
  Result<std::vector<int>> lengths = parse_completion_lengths(text);
  if (!lengths.ok()) return section.add_error("forced_lengths", lengths.error().message());
  if (section.has("stop")) section.add_error("forced_lengths", "completions of a given length cannot end by stop, too");
  rollout.forced_lengths = *std::move(lengths);
}

void read_command(YamlSection& yaml, CommandOptions& options, const std::filesystem::path& folder) {
  yaml.read("command", options.argv);
  // A program given by a relative path is beside the job file; a plain name is looked up in PATH.
  if (!options.argv.empty() && options.argv[0].find('/') != std::string::npos) {
    options.argv[0] = resolve_path(options.argv[0], folder).string();
  }
  yaml.read("processes", options.processes, 1, 256);
  yaml.read("retries", options.retries, 0, 100);
  double time_limit_s = 10, start_time_limit_s = 0, memory_gb = 2, file_gb = 1;
  yaml.read("time_limit_s", time_limit_s, 1e-3, 1e6);
  yaml.read("start_time_limit_s", start_time_limit_s, 0, 1e6);
  yaml.read("memory_gb", memory_gb, 0, 1e4);
  yaml.read("file_gb", file_gb, 0, 1e6);
  yaml.read("subprocesses", options.subprocesses_max, 0, 4096);
  yaml.read("own_groups", options.own_groups);
  yaml.read("environment", options.environment);
  options.time_limit = std::chrono::milliseconds(static_cast<std::int64_t>(time_limit_s * 1000));
  options.start_time_limit = std::chrono::milliseconds(static_cast<std::int64_t>(start_time_limit_s * 1000));
  options.memory_bytes_max = static_cast<std::size_t>(memory_gb * (1 << 30));
  options.file_bytes_max = static_cast<std::size_t>(file_gb * (1 << 30));
}

RewardConfig read_reward_part(YamlSection& yaml, const std::filesystem::path& folder, int depth) {
  RewardConfig reward;
  yaml.read_choice("type", reward.type, reward_types());
  yaml.read("name", reward.name);
  yaml.read("weight", reward.weight, -1e6, 1e6);
  yaml.read("pattern", reward.pattern);
  yaml.read("extract", reward.extract);
  yaml.read("length_target", reward.length_target, 0, 1 << 24);
  yaml.read("length_max", reward.length_max, 0, 1 << 24);
  yaml.read("ignore_case", reward.ignore_case);
  yaml.read("strip", reward.strip);
  yaml.read("partial_credit", reward.partial_credit, 0, 1);
  yaml.read("use_all", reward.use_all);
  read_command(yaml, reward.command, folder);
  yaml.read_choice("on_error", reward.on_error, {"value", "fail"});
  yaml.read("error_value", reward.error_value);
  if (depth > 0) {
    for (YamlSection& part : yaml.list("parts")) reward.parts.push_back(read_reward_part(part, folder, depth - 1));
  }
  yaml.finish();
  return reward;
}

}  // namespace

void read_model(YamlSection& yaml, PipelineConfig& pipeline, const std::filesystem::path& folder) {
  std::string model;
  yaml.read("model", model);
  if (model.empty() == !yaml.has("model_config")) {
    yaml.add_error(
        "", "needs either model (a Hugging Face folder or a .gguf file) or model_config (a policy from scratch)");
  }
  if (!model.empty()) pipeline.model = resolve_path(model, folder);
  std::string weight_format(to_string(pipeline.weight_format));
  yaml.read_choice("weight_format", weight_format, {"fp32", "bf16"});
  pipeline.weight_format = parse_weight_format(weight_format).value_or(WeightFormat::kFp32);
  read_scratch_model(yaml, pipeline);
}

void read_task(YamlSection& yaml, PipelineConfig& pipeline, const std::filesystem::path& folder) {
  TaskConfig& task = pipeline.task;
  if (yaml.has("task") == yaml.has("data")) {
    yaml.add_error("", "needs either task (a built-in one) or data (a JSONL file)");
  }
  const bool is_data = yaml.has("data");
  if (!is_data && yaml.has("task") && !yaml.is_map("task")) {
    yaml.read_choice("task", task.name, task_names());
    return;
  }
  YamlSection section = yaml.section(is_data ? "data" : "task");
  if (is_data) {
    task.name = "jsonl";
    section.require("file");
    section.read("file", task.file);
    if (!task.file.empty()) task.file = resolve_path(task.file, folder).string();
    section.read("shuffle", task.shuffle);
  } else {
    section.require("name");
    section.read_choice("name", task.name, task_names());
  }
  section.read("system_prompt", task.system_prompt);
  section.read("chat", task.chat);
  if (is_data)
    section.finish();
  else
    task.options = section.read_rest();
}

void read_reward(YamlSection& yaml, PipelineConfig& pipeline, const std::filesystem::path& folder) {
  if (yaml.has("reward") && !yaml.is_map("reward")) {
    yaml.read_choice("reward", pipeline.reward.type, reward_types());
    return;
  }
  yaml.require("reward");
  YamlSection section = yaml.section("reward");
  if (yaml.has("reward")) section.require("type");
  pipeline.reward = read_reward_part(section, folder, 2);
}

void read_tool(YamlSection& yaml, PipelineConfig& pipeline, const std::filesystem::path& folder) {
  if (!yaml.has("tool")) return;
  if (!yaml.is_map("tool")) {
    yaml.add_error("tool", "needs keys: type, and call_end, the text at which a completion calls it");
    return;
  }
  YamlSection section = yaml.section("tool");
  ToolConfig& tool = pipeline.tool;
  section.require("type");
  section.read_choice("type", tool.type, tool_types());
  section.require("call_end");
  section.read("call_begin", tool.call_begin);
  section.read("call_end", tool.call_end);
  section.read("answer_begin", tool.answer_begin);
  section.read("answer_end", tool.answer_end);
  section.read("calls_max", tool.calls_max, 1, 64);
  section.read("answer_tokens_max", tool.answer_tokens_max, 1, 1 << 16);
  read_command(section, tool.command, folder);
  section.read_choice("on_error", tool.on_error, {"value", "fail"});
  section.read("error_answer", tool.error_answer);
  section.finish();
}

int read_staleness(YamlSection& yaml) {
  std::string mode = "sync";
  yaml.read_choice("mode", mode, {"sync", "one_step_off", "async"});
  int max_staleness = kMaxStaleness;
  yaml.read("max_staleness", max_staleness, 1, kMaxStalenessLimit);
  if (yaml.has("max_staleness") && mode != "async") {
    yaml.add_error("max_staleness", "is of `mode: async` alone, and this is `mode: " + mode +
                                        "`: set `mode: async`, or leave max_staleness out");
  }
  return mode == "sync" ? 0 : mode == "one_step_off" ? 1 : max_staleness;
}

void read_algorithm(YamlSection& yaml, PipelineConfig& pipeline) {
  if (!pipeline.is_sync()) pipeline.algorithm.importance_cap = kImportanceCap;
  if (yaml.has("algorithm") && !yaml.is_map("algorithm")) {
    yaml.read_choice("algorithm", pipeline.algorithm.name, algorithm_names());
    return;
  }
  YamlSection section = yaml.section("algorithm");
  section.read_choice("name", pipeline.algorithm.name, algorithm_names());
  for (const auto& [key, value] : section.read_rest()) {
    if (const Status status = set_algorithm_option(pipeline.algorithm, key, value); !status.ok()) {
      section.add_error(key, status.error().message());
    }
  }
}

void read_rollout(YamlSection& yaml, PipelineConfig& pipeline) {
  YamlSection section = yaml.section("rollout");
  RolloutConfig& rollout = pipeline.rollout;
  section.read("prompts_per_step", rollout.prompts_per_step, 1, 1 << 20);
  section.read("group_size", rollout.group_size, 1, 1 << 16);
  SamplingParams& sampling = rollout.sampling;
  section.read("max_new_tokens", sampling.max_new_tokens, 1, 1 << 24);
  read_forced_lengths(section, rollout);
  double temperature = sampling.temperature, top_p = sampling.top_p;
  section.read("temperature", temperature, 0, 100);
  section.read("top_p", top_p, 0, 1);
  section.read("top_k", sampling.top_k, 0, 1 << 24);
  sampling.temperature = static_cast<float>(temperature);
  sampling.top_p = static_cast<float>(top_p);
  section.read("stop", sampling.stop_strings);
  EngineOptions& engine = rollout.engine;
  section.read("max_batch", engine.max_batch, 1, 1 << 16);
  section.read("max_step_tokens", engine.max_step_tokens, 1, 1 << 20);
  section.read("max_positions", engine.max_positions, 2, 1 << 24);
  double kv_mb = 0;
  section.read("kv_mb", kv_mb, 0, 1e9);
  engine.kv_bytes_max = static_cast<std::size_t>(kv_mb * (1 << 20));
  std::string speculation = engine.speculation ? "auto" : "off";
  section.read_choice("speculation", speculation, {"auto", "off"});
  engine.speculation = speculation == "auto";
  section.finish();
}

void read_train(YamlSection& yaml, PipelineConfig& pipeline) {
  YamlSection section = yaml.section("train");
  TrainConfig& train = pipeline.train;
  section.read("steps", train.steps, 1, 1 << 30);
  section.read("updates_per_step", train.updates_per_step, 1, 1 << 16);
  section.read("grad_slots", train.grad_slots, 1, 1024);
  section.read("micro_batch_tokens", train.micro_batch_tokens, 1, 1 << 24);
  section.read("split_tokens", train.split_tokens, 0, 1 << 24);
  section.read("recompute_activations", train.recompute_activations);
  OptimizerConfig& optimizer = train.optimizer;
  section.read("lr", optimizer.lr, 0, 10);
  section.read_choice("schedule", optimizer.schedule, {"constant", "linear", "cosine"});
  section.read("warmup_steps", optimizer.warmup_steps, 0, 1 << 30);
  section.read("min_lr_ratio", optimizer.min_lr_ratio, 0, 1);
  section.read("beta1", optimizer.beta1, 0, 1);
  section.read("beta2", optimizer.beta2, 0, 1);
  section.read("eps", optimizer.eps, 0, 1);
  section.read("weight_decay", optimizer.weight_decay, 0, 10);
  section.read("max_grad_norm", optimizer.max_grad_norm, 0, 1e9);
  section.read("schedule_updates", optimizer.total_steps, 1, 1 << 30);
  section.finish();
}

void check_fit(YamlSection& yaml, PipelineConfig& pipeline) {
  derive_settings(pipeline);
  for (const ConfigProblem& problem : find_problems(pipeline)) {
    yaml.add_error(yaml.has(problem.section) ? problem.section : "", problem.message);
  }
}

}  // namespace jigsaw
