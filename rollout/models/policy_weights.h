// The weights of one policy: a configuration, a layout, and one flat 64-byte aligned fp32 buffer. The rollout engine
// and the trainer of a process share one copy. Only the trainer writes, and only while no rollout of this policy runs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "rollout/models/model_config.h"
#include "rollout/models/parameter_layout.h"

namespace jigsaw {

// Owns 64-byte aligned floats, zeroed.
class AlignedFloats {
 public:
  AlignedFloats() = default;
  explicit AlignedFloats(std::size_t size);
  float* data() { return data_.get(); }
  const float* data() const { return data_.get(); }
  std::size_t size() const { return size_; }
  std::span<float> span() { return {data_.get(), size_}; }
  std::span<const float> span() const { return {data_.get(), size_}; }

 private:
  struct Free {
    void operator()(float* pointer) const;
  };
  std::unique_ptr<float[], Free> data_;
  std::size_t size_ = 0;
};

class PolicyWeights {
 public:
  explicit PolicyWeights(ModelConfig config);  // all zero

  const ModelConfig& config() const { return config_; }
  const ParameterLayout& layout() const { return layout_; }
  std::span<float> floats() { return buffer_.span(); }
  std::span<const float> floats() const { return buffer_.span(); }
  const float* parameter(int index) const { return buffer_.data() + layout_.parameter(index).offset; }
  float* parameter(int index) { return buffer_.data() + layout_.parameter(index).offset; }

  // xxh3-128 of all parameters in layout order, as 32 hex digits: the `weights_hash` of metrics and summaries.
  std::string hash() const;

 private:
  ModelConfig config_;
  ParameterLayout layout_;
  AlignedFloats buffer_;
};

// Fills the weights for training from scratch: normal(0, 0.02) matrices (output projections scaled by
// 1/sqrt(2 * num_layers)), norms 1, biases 0; drawn by Philox from (seed, parameter, element), so equal everywhere.
void initialize_weights(PolicyWeights& weights, std::uint64_t seed);

}  // namespace jigsaw
