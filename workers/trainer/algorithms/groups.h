// Samples by group. Internal to the advantage rules.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "workers/trainer/training_sample.h"

namespace jigsaw {

// Indices of the samples of each group, ascending; wherever they stand and whatever the number is.
inline std::map<std::int64_t, std::vector<std::size_t>> groups_of(std::span<const TrainingSample> samples) {
  std::map<std::int64_t, std::vector<std::size_t>> groups;
  for (std::size_t i = 0; i < samples.size(); ++i) groups[samples[i].group].push_back(i);
  return groups;
}

// old - ref of a token: the k1 estimate of the KL to the reference, for rewards.
inline double kl_k1(const TrainingSample& sample, std::size_t token) {
  return static_cast<double>(sample.old_logprobs[token]) - static_cast<double>(sample.ref_logprobs[token]);
}

}  // namespace jigsaw
