// What a pass keeps of its layers: each layer in a place of its own, or all in the same one. Owned by one object,
// touched by the thread that calls it.
#pragma once

#include <cstddef>

#include "rollout/models/decoder_layer.h"
#include "rollout/models/model_config.h"
#include "rollout/models/scratch_floats.h"

namespace jigsaw {

class PassMemory {
 public:
  PassMemory(const ModelConfig& config, bool keep_inputs, bool keep_activations)
      : config_(config), keep_inputs_(keep_inputs), keep_activations_(keep_activations) {}

  void prepare(int rows) {
    rows_ = rows;
    inputs_.require(input_floats(config_, rows, keep_inputs_));
    activations_.require(activation_floats(config_, rows, keep_activations_));
  }
  // Input of layer `layer`; of the vocabulary head with layer == num_layers.
  float* input(int layer) {
    return inputs_.data() + (keep_inputs_ ? static_cast<std::size_t>(layer) * input_floats(config_, rows_, false) : 0);
  }
  LayerActivations activations(int layer) {
    const std::size_t size = activation_floats(config_, rows_, false);
    float* begin = activations_.data() + (keep_activations_ ? static_cast<std::size_t>(layer) * size : 0);
    return LayerActivations::in(begin, config_, rows_);
  }

  void release() {
    inputs_.release();
    activations_.release();
  }

  static std::size_t input_floats(const ModelConfig& config, int rows, bool keep) {
    const std::size_t slots = keep ? static_cast<std::size_t>(config.num_layers) + 1 : 1;
    return slots * static_cast<std::size_t>(rows) * static_cast<std::size_t>(config.hidden_size);
  }
  static std::size_t activation_floats(const ModelConfig& config, int rows, bool keep) {
    const std::size_t slots = keep ? static_cast<std::size_t>(config.num_layers) : 1;
    return slots * static_cast<std::size_t>(rows) * LayerActivations::floats_per_row(config);
  }

 private:
  const ModelConfig& config_;
  bool keep_inputs_, keep_activations_;
  int rows_ = 0;
  ScratchFloats inputs_, activations_;
};

}  // namespace jigsaw
