// What holds of a pipeline's configuration whether a job file made it or a C++ program (workers/api). Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "graph/pipeline_spec.h"
#include "workers/job/job_config.h"

namespace jigsaw {

// Drawn from the job's seed by name, not by place: the pipeline trains the same whichever others run beside it.
std::uint64_t pipeline_seed(std::uint64_t job_seed, std::string_view name);

// Gives the fields of a model from scratch that are 0 the value that follows from the others: num_kv_heads, head_dim,
// intermediate_size. What the family asks for (qkv_bias, qk_norm) is set in any case.
void derive_sizes(ModelConfig& model);
// The same for the rest: rollout.sampling from forced_lengths, algorithm.max_completion_length, and the length of the
// learning rate's schedule (train.optimizer.total_steps).
void derive_settings(PipelineConfig& pipeline);

// The scheduler's view of a pipeline, memory excepted.
PipelineSpec to_spec(const PipelineConfig& config, TokenBins bins);

struct ConfigProblem {
  std::string section;  // "algorithm", "rollout" or "train"
  std::string message;  // begins with the key: "grad_slots: 0 is below 1"
};
// Of settings that are derived already. The model is looked at when it is made.
std::vector<ConfigProblem> find_problems(const PipelineConfig& pipeline);

}  // namespace jigsaw
