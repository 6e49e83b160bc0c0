#include <algorithm>

#include "workers/trainer/algorithms/algorithm.h"
#include "workers/trainer/algorithms/groups.h"
#include "workers/trainer/algorithms/moments.h"

namespace jigsaw {

void group_relative_advantages(const AlgorithmConfig& config, std::span<const TrainingSample> samples,
                               BatchAdvantages& advantages) {
  std::vector<double> rewards;
  for (const TrainingSample& sample : samples) rewards.push_back(sample.reward);
  const double batch_deviation = moments_of(rewards).deviation;  // of the raw rewards, not the centred ones

  for (const auto& [group, members] : groups_of(samples)) {
    rewards.clear();
    for (const std::size_t i : members) rewards.push_back(samples[i].reward);
    const Moments moments = moments_of(rewards);
    double divisor = 1;
    if (config.scale_rewards == "group") divisor = moments.deviation + kDeviationEpsilon;
    if (config.scale_rewards == "batch") divisor = batch_deviation + kDeviationEpsilon;
    for (const std::size_t i : members) {
      advantages.per_sample[i] = (samples[i].reward - moments.mean) / divisor;
      std::ranges::fill(advantages.per_token[i], advantages.per_sample[i]);
    }
  }
}

}  // namespace jigsaw
