// Which algorithm trains a policy and with what settings. A plain value, const once validated.
//
// The meaning of each setting is in the loss formulas of the README; defaults are TRL's.
#pragma once

#include <string>
#include <vector>

#include "core/result.h"

namespace jigsaw {

struct AlgorithmConfig {
  std::string name = "grpo";            // a row of algorithms/registry.cpp
  double epsilon = 0.2;                 // ratios are clipped to [1 - epsilon, 1 + epsilon_high]
  double epsilon_high = -1;             // < 0: epsilon. cispo: the bound on the ratio itself (1.2 means r <= 1.2)
  double beta = 0;                      // KL to the reference; 0 = no reference needed
  std::string kl_estimator = "k3";      // k1, k2, k3 (Schulman 2020): the KL term of a loss; a KL in the reward is k1
  std::string scale_rewards = "group";  // group, batch, none: by whose standard deviation advantages are divided
  bool use_bias_correction_kl = true;   // the KL term is multiplied by the ratio
  bool normalize_advantages = false;    // rloo: advantages of the batch get mean 0 and deviation 1
  int max_completion_length = 0;        // dr_grpo's denominator, which must be set for it
  // > 0: truncated importance sampling for samples of an older policy, see policy_loss.h.
  double importance_cap = 0;

  // E of the formulas.
  double upper_epsilon() const { return epsilon_high < 0 ? epsilon : epsilon_high; }
};

// Applies "key=value"; an unknown key or bad value is an error that lists or suggests the right ones. `name` is a key,
// too.
Status set_algorithm_option(AlgorithmConfig& config, const std::string& key, const std::string& value);
// Names in the registry's table, for errors and help.
std::vector<std::string> algorithm_names();
Status validate(const AlgorithmConfig& config);

}  // namespace jigsaw
