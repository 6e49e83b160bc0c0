// Small jobs for the tests: seconds to run, with everything in them that the promise of equal bits has to hold for.
#pragma once

#include <string>

namespace jigsaw {

// Two updates a step, a reference model, and a last batch that does not divide evenly over three workers.
inline std::string sort_pipeline(const std::string& name = "sort") {
  return "- name: " + name + R"(
  model_config: {family: llama, hidden_size: 32, num_layers: 2, num_heads: 4, num_kv_heads: 2, intermediate_size: 48}
  task: {name: sort, length_min: 2, length_max: 4, alphabet: "1234"}
  reward: {type: char_match}
  algorithm: {name: grpo, beta: 0.02}
  rollout: {prompts_per_step: 5, group_size: 4, max_new_tokens: 6, max_positions: 32, max_batch: 7}
  train: {steps: 8, lr: 1e-3, updates_per_step: 2, grad_slots: 4, micro_batch_tokens: 64}
  checkpoint: {every: 3}
)";
}

inline std::string reverse_pipeline() {
  return R"(- name: reverse
  model_config: {family: qwen3, hidden_size: 32, num_layers: 1, num_heads: 2, num_kv_heads: 1, intermediate_size: 64, tokenizer: byte}
  task: {name: reverse, length_min: 2, length_max: 3, alphabet: "abc"}
  reward: {type: sum, parts: [{type: char_match}, {type: length, weight: 0.1, length_max: 4}]}
  algorithm: {name: dapo, epsilon_high: 0.28}
  rollout: {prompts_per_step: 4, group_size: 4, max_new_tokens: 6, max_positions: 32}
  train: {steps: 8, lr: 1e-3, schedule: linear, weight_decay: 0.01}
  checkpoint: {every: 2}
)";
}

// Completions of random characters: one token in fourteen ends a call.
inline std::string calls_pipeline() {
  return R"(- name: calls
  model_config: {family: qwen2, hidden_size: 32, num_layers: 2, num_heads: 4, num_kv_heads: 2, intermediate_size: 48}
  task: {name: addition, digits_max: 1}
  reward: {type: char_match}
  algorithm: {name: grpo, beta: 0.01}
  tool: {type: calculator, call_end: "=", answer_end: "+", calls_max: 2, error_answer: "0"}
  rollout: {prompts_per_step: 4, group_size: 4, max_new_tokens: 24, max_positions: 40}
  train: {steps: 8, lr: 1e-3, micro_batch_tokens: 96}
  checkpoint: {every: 3}
)";
}

// With enough steps to be killed or stopped in their midst.
inline constexpr int kLongSteps = 40;
inline std::string longer(std::string pipelines) {
  const std::string few = "steps: 8,", many = "steps: " + std::to_string(kLongSteps) + ",";
  for (std::size_t at = pipelines.find(few); at != std::string::npos; at = pipelines.find(few, at)) {
    pipelines.replace(at, few.size(), many);
  }
  return pipelines;
}

// With completions of very different lengths.
inline std::string tailed(std::string pipeline) {
  const auto replace = [&](const std::string& from, const std::string& to) {
    pipeline.replace(pipeline.find(from), from.size(), to);
  };
  replace("max_new_tokens: 6, max_positions: 32", "forced_lengths: \"3x6,1x600\", max_positions: 640");
  return pipeline;
}

// One sample of a step is far longer than the others, and cut into chunks that workers share.
inline std::string long_pipeline() {
  return R"(- name: long
  model_config: {family: llama, hidden_size: 32, num_layers: 2, num_heads: 4, num_kv_heads: 2, intermediate_size: 48}
  task: {name: sort, length_min: 2, length_max: 4, alphabet: "1234"}
  reward: {type: char_match}
  algorithm: {name: grpo, beta: 0.02}
  rollout: {prompts_per_step: 3, group_size: 2, forced_lengths: "3x6,1x260,2x12", max_positions: 280}
  train: {steps: 8, lr: 1e-3, grad_slots: 2, micro_batch_tokens: 64, split_tokens: 40}
  checkpoint: {every: 3}
)";
}

inline std::string job_text(const std::string& pipelines) { return "seed: 7\nworkers: 1\npipelines:\n" + pipelines; }

}  // namespace jigsaw
