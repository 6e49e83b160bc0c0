#include "workers/trainer/optimizer_config.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "core/check.h"
#include "core/nearest_name.h"

namespace jigsaw {
namespace {

Status check_range(const char* key, double value, double min, double max_exclusive) {
  if (value >= min && value < max_exclusive) return ok_status();
  return Error(ErrorCode::kInvalidArgument, std::string(key) + ": " + std::to_string(value) + " is not in [" +
                                                std::to_string(min) + ", " + std::to_string(max_exclusive) + ")");
}

}  // namespace

double learning_rate_at(const OptimizerConfig& config, std::int64_t step) {
  CHECK(step >= 1);
  const auto done = static_cast<double>(step - 1);  // updates before this one
  const double warmup = config.warmup_steps;
  if (done < warmup) return config.lr * done / warmup;
  if (config.schedule == "constant") return config.lr;
  const double progress = std::min(1.0, (done - warmup) / std::max(1.0, config.total_steps - warmup));
  const double remaining =
      config.schedule == "cosine" ? 0.5 * (1 + std::cos(std::numbers::pi * progress)) : 1 - progress;
  return config.lr * (config.min_lr_ratio + (1 - config.min_lr_ratio) * remaining);
}

double clip_factor(const OptimizerConfig& config, double grad_norm) {
  if (config.max_grad_norm == 0) return 1;
  return std::min(1.0, config.max_grad_norm / (grad_norm + 1e-6));
}

Status validate(const OptimizerConfig& config) {
  const std::vector<std::string> schedules = {"constant", "linear", "cosine"};
  if (std::ranges::find(schedules, config.schedule) == schedules.end()) {
    return Error(ErrorCode::kInvalidArgument, unknown_name_message("schedule", config.schedule, schedules));
  }
  constexpr double kNoBound = 1e9;
  JIGSAW_RETURN_IF_ERROR(check_range("lr", config.lr, 0, kNoBound));
  JIGSAW_RETURN_IF_ERROR(check_range("warmup_steps", config.warmup_steps, 0, kNoBound * 10));
  JIGSAW_RETURN_IF_ERROR(check_range("min_lr_ratio", config.min_lr_ratio, 0, 1 + 1e-9));
  JIGSAW_RETURN_IF_ERROR(check_range("beta1", config.beta1, 0, 1));
  JIGSAW_RETURN_IF_ERROR(check_range("beta2", config.beta2, 0, 1));
  JIGSAW_RETURN_IF_ERROR(check_range("eps", config.eps, 0, 1));
  JIGSAW_RETURN_IF_ERROR(check_range("weight_decay", config.weight_decay, 0, kNoBound));
  JIGSAW_RETURN_IF_ERROR(check_range("max_grad_norm", config.max_grad_norm, 0, kNoBound));
  if (config.schedule != "constant" && config.total_steps <= config.warmup_steps) {
    return Error(ErrorCode::kInvalidArgument, "total_steps: " + std::to_string(config.total_steps) +
                                                  " must exceed warmup_steps for schedule " + config.schedule);
  }
  return ok_status();
}

}  // namespace jigsaw
