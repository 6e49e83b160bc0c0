#include <numeric>

#include "workers/trainer/algorithms/algorithm.h"
#include "workers/trainer/algorithms/groups.h"
#include "workers/trainer/algorithms/moments.h"

namespace jigsaw {

void token_return_advantages(const AlgorithmConfig& config, std::span<const TrainingSample> samples,
                             BatchAdvantages& advantages) {
  std::vector<double> all_returns;
  all_returns.reserve(static_cast<std::size_t>(advantages.num_tokens));
  for (std::size_t i = 0; i < samples.size(); ++i) {
    std::vector<double>& returns = advantages.per_token[i];
    double kl_to_go = 0;
    for (std::size_t t = returns.size(); t-- > 0;) {
      if (config.beta > 0) kl_to_go += kl_k1(samples[i], t);
      returns[t] = samples[i].reward - config.beta * kl_to_go;
    }
    all_returns.insert(all_returns.end(), returns.begin(), returns.end());
  }
  // Over tokens, not completions: long completions weigh more. Groups play no part.
  const Moments moments = moments_of(all_returns);
  for (std::size_t i = 0; i < samples.size(); ++i) {
    std::vector<double>& values = advantages.per_token[i];
    if (values.empty()) continue;
    for (double& value : values) value = (value - moments.mean) / (moments.deviation + kDeviationEpsilon);
    advantages.per_sample[i] = std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
  }
}

}  // namespace jigsaw
