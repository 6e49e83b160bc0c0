#include <algorithm>

#include "workers/trainer/algorithms/algorithm.h"
#include "workers/trainer/algorithms/groups.h"
#include "workers/trainer/algorithms/moments.h"

namespace jigsaw {
namespace {

// R' = R - beta x sum over t of (old - ref).
double reward_with_kl(const AlgorithmConfig& config, const TrainingSample& sample) {
  if (config.beta <= 0) return sample.reward;
  double kl = 0;
  for (std::size_t t = 0; t < sample.old_logprobs.size(); ++t) kl += kl_k1(sample, t);
  return sample.reward - config.beta * kl;
}

}  // namespace

void leave_one_out_advantages(const AlgorithmConfig& config, std::span<const TrainingSample> samples,
                              BatchAdvantages& advantages) {
  for (const auto& [group, members] : groups_of(samples)) {
    if (members.size() == 1) continue;  // nothing to compare with: 0
    // Relative to the first, so that equal rewards give exactly 0.
    const double shift = reward_with_kl(config, samples[members.front()]);
    double sum = 0;
    for (const std::size_t i : members) sum += reward_with_kl(config, samples[i]) - shift;
    for (const std::size_t i : members) {
      const double reward = reward_with_kl(config, samples[i]) - shift;
      advantages.per_sample[i] = reward - (sum - reward) / static_cast<double>(members.size() - 1);
    }
  }
  if (config.normalize_advantages) {
    const Moments moments = moments_of(advantages.per_sample);
    for (double& advantage : advantages.per_sample) {
      advantage = (advantage - moments.mean) / (moments.deviation + kDeviationEpsilon);
    }
  }
  for (std::size_t i = 0; i < samples.size(); ++i) {
    std::ranges::fill(advantages.per_token[i], advantages.per_sample[i]);
  }
}

}  // namespace jigsaw
