#include "workers/trainer/adamw_optimizer.h"

#include <cmath>
#include <string>
#include <vector>

#include "core/check.h"
#include "rollout/kernels/kernels.h"
#include "workers/trainer/optimizer_file.h"

namespace jigsaw {

namespace {

// Both moments of each parameter, by name.
template <typename Float>
std::vector<NamedFloats<Float>> named_moments(const ParameterLayout& layout, Float* first, Float* second) {
  std::vector<NamedFloats<Float>> tensors;
  for (const Parameter& parameter : layout.parameters()) {
    tensors.push_back({"first_moment." + parameter.name, {first + parameter.offset, parameter.size}});
    tensors.push_back({"second_moment." + parameter.name, {second + parameter.offset, parameter.size}});
  }
  return tensors;
}

}  // namespace

struct AdamwOptimizer::Moments {
  explicit Moments(std::size_t num_floats) : first(num_floats), second(num_floats) {}
  AlignedFloats first, second;
};

AdamwOptimizer::AdamwOptimizer(PolicyWeights& weights, const OptimizerConfig& config)
    : weights_(weights), config_(config) {}

AdamwOptimizer::~AdamwOptimizer() = default;

void AdamwOptimizer::allocate() {
  if (!moments_) moments_ = std::make_unique<Moments>(weights_.layout().num_floats());
}

Result<AdamwOptimizer::StepStats> AdamwOptimizer::step(Lane& lane, std::span<const float> gradient) {
  const ParameterLayout& layout = weights_.layout();
  CHECK(gradient.size() == layout.num_floats());
  const std::int64_t step = num_steps_ + 1;
  const double grad_norm = std::sqrt(kernels::sum_of_squares(lane, gradient.size(), gradient.data()));
  if (!std::isfinite(grad_norm)) {
    return Error(
        ErrorCode::kInvalidArgument,
        "update " + std::to_string(step) + ": the gradient is not finite (norm " + std::to_string(grad_norm) +
            "), so it was not applied. Lower lr, set max_grad_norm, or raise warmup_steps, and look for rewards "
            "or log-probs of extreme size; then resume from the last checkpoint");
  }
  allocate();

  const StepStats stats{grad_norm, learning_rate_at(config_, step)};
  kernels::AdamWStep adamw;
  adamw.lr = static_cast<float>(stats.lr);
  adamw.beta1 = static_cast<float>(config_.beta1);
  adamw.beta2 = static_cast<float>(config_.beta2);
  adamw.eps = static_cast<float>(config_.eps);
  adamw.grad_scale = static_cast<float>(clip_factor(config_, grad_norm));
  adamw.step = step;

  float* const params = weights_.mutable_floats().data();
  float* const first = moments_->first.data();
  float* const second = moments_->second.data();
  for (const Parameter& parameter : layout.parameters()) {
    adamw.weight_decay = parameter.weight_decay ? static_cast<float>(config_.weight_decay) : 0.0f;
    const std::size_t offset = parameter.offset;
    kernels::adamw(lane, parameter.size, gradient.data() + offset, params + offset, first + offset, second + offset,
                   adamw);
  }
  num_steps_ = step;
  return stats;
}

Status AdamwOptimizer::save(const std::string& file) const {
  const Moments zero(moments_ ? 0 : weights_.layout().num_floats());
  const Moments& moments = moments_ ? *moments_ : zero;
  return write_optimizer_file(file, num_steps_,
                              named_moments(weights_.layout(), moments.first.data(), moments.second.data()));
}

Status AdamwOptimizer::load(const std::string& file) {
  allocate();
  JIGSAW_ASSIGN_OR_RETURN(num_steps_, read_optimizer_file(file, named_moments(weights_.layout(), moments_->first.data(),
                                                                              moments_->second.data())));
  return ok_status();
}

}  // namespace jigsaw
