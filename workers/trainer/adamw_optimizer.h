// AdamW's state and step over the flat buffers of one policy. Executor thread only.
//
// The moments are in the layout's flat form and allocated at the first step, so who only scores or measures a loss does
// not pay for them. The arithmetic is kernels::adamw on any CPU.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "core/lane.h"
#include "core/result.h"
#include "rollout/models/policy_weights.h"
#include "workers/trainer/optimizer_config.h"

namespace jigsaw {

class AdamwOptimizer {
 public:
  // `weights` outlives this.
  AdamwOptimizer(PolicyWeights& weights, const OptimizerConfig& config);
  ~AdamwOptimizer();

  // Steps taken, by this object or before the state that was loaded.
  std::int64_t num_steps() const { return num_steps_; }

  struct StepStats {
    double grad_norm = 0;  // before clipping
    double lr = 0;
  };
  // Clips and steps. A gradient norm that is not finite is an error; nothing has changed then.
  Result<StepStats> step(Lane& lane, std::span<const float> gradient);

  // The state as a safetensors file: per parameter "first_moment.<name>" and "second_moment.<name>" in flat form, and
  // "num_steps". Atomic.
  Status save(const std::string& file) const;
  // On failure the state is as it was.
  Status load(const std::string& file);

  static std::size_t state_bytes(const ParameterLayout& layout) { return 2 * sizeof(float) * layout.num_floats(); }

 private:
  struct Moments;
  void allocate();

  PolicyWeights& weights_;
  OptimizerConfig config_;
  std::int64_t num_steps_ = 0;
  std::unique_ptr<Moments> moments_;  // null before the first step
};

}  // namespace jigsaw
