#include "workers/trainer/advantages.h"

#include "core/nearest_name.h"
#include "workers/trainer/algorithms/algorithm.h"
#include "workers/trainer/sample_checks.h"

namespace jigsaw {

Result<BatchAdvantages> compute_advantages(const AlgorithmConfig& config, std::span<const TrainingSample> samples) {
  const Algorithm* algorithm = find_algorithm(config.name);
  if (algorithm == nullptr) {
    return Error(ErrorCode::kInvalidArgument, unknown_name_message("algorithm", config.name, algorithm_names()));
  }
  BatchAdvantages advantages;
  advantages.num_samples = static_cast<std::int64_t>(samples.size());
  advantages.per_sample.resize(samples.size());
  for (std::size_t i = 0; i < samples.size(); ++i) {
    const TrainingSample& sample = samples[i];
    const std::string where = "sample " + std::to_string(i);
    JIGSAW_RETURN_IF_ERROR(check_shape(where, sample));
    const int num_tokens = sample.completion_length();
    if (needs_kl_in_reward(config) && num_tokens > 0 && (sample.old_logprobs.empty() || sample.ref_logprobs.empty())) {
      return Error(ErrorCode::kInvalidArgument,
                   where + ": " + config.name +
                       " with beta > 0 has the KL in its reward, which needs old_logprobs and " + "ref_logprobs");
    }
    advantages.per_token.emplace_back(static_cast<std::size_t>(num_tokens));
    advantages.num_tokens += num_tokens;
  }
  algorithm->advantages(config, samples, advantages);
  return advantages;
}

}  // namespace jigsaw
