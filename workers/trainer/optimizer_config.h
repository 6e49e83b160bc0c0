// Settings of AdamW and the learning rate's schedule. Plain values and pure functions.
#pragma once

#include <cstdint>
#include <string>

#include "core/result.h"

namespace jigsaw {

struct OptimizerConfig {
  double lr = 1e-6;
  std::string schedule = "constant";  // constant, linear, cosine; each after a linear warm-up from 0
  int warmup_steps = 0;
  int total_steps = 0;      // for linear and cosine: where the rate reaches lr * min_lr_ratio
  double min_lr_ratio = 0;  // the floor of linear and cosine, as a share of lr
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0;  // decay of matrices only
  double max_grad_norm = 1.0;                                       // 0 = no clipping
};

// The rate of update `step` (from 1): what transformers' get_scheduler gives update `step` of a run. So the first
// update of a warm-up has rate 0, and the floor is reached after update total_steps; it is kept from there on.
double learning_rate_at(const OptimizerConfig& config, std::int64_t step);

// The factor on all gradients that brings their norm down to max_grad_norm, as torch.nn.utils.clip_grad_norm_ has it.
double clip_factor(const OptimizerConfig& config, double grad_norm);

Status validate(const OptimizerConfig& config);

}  // namespace jigsaw
