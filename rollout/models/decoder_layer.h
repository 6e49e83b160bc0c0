// One decoder layer, forward and backward: the same kernels in the same order for rollout and trainer, which is what
// makes their log-probs equal to the bit. Free functions over buffers that the caller owns.
//
//   x -> norm -> qkv -> (head norms) -> rope -> attention -> projection -> + x = x_mid
//   x_mid -> norm -> gate_up -> silu_mul -> down -> + x_mid = x_out
//
// Shapes: R rows, H hidden, Q = heads * head_dim, QKV = Q + 2 * kv_heads * head_dim, I intermediate.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/lane.h"
#include "rollout/models/attention_plan.h"
#include "rollout/models/policy_weights.h"

namespace jigsaw {

// Pointers to one layer's parameters, or with `Float` = float to their gradients; null where the model has none.
template <typename Float>
struct LayerPointers {
  Float *attention_norm, *qkv, *qkv_bias, *q_norm, *k_norm, *attention_out, *mlp_norm, *gate_up, *mlp_down;

  LayerPointers(const ParameterLayout& layout, int layer, Float* flat) {
    const LayerParameters& p = layout.layer(layer);
    const auto at = [&](int index) { return index < 0 ? nullptr : flat + layout.parameter(index).offset; };
    attention_norm = at(p.attention_norm);
    qkv = at(p.qkv);
    qkv_bias = at(p.qkv_bias);
    q_norm = at(p.q_norm);
    k_norm = at(p.k_norm);
    attention_out = at(p.attention_out);
    mlp_norm = at(p.mlp_norm);
    gate_up = at(p.gate_up);
    mlp_down = at(p.mlp_down);
  }
};
using LayerWeights = LayerPointers<const float>;
using LayerGradients = LayerPointers<float>;

// What does not change from layer to layer of a pass.
struct LayerContext {
  const ModelConfig& config;
  const float* cos_sin;  // make_rope_table()
  AttentionPlan& plan;
};

// What a backward pass reads besides the layer's input. All of it can be recomputed from that.
struct LayerActivations {
  float* qkv_raw = nullptr;    // [R][QKV] before head norms and rope; may be LayerScratch::qkv when not kept
  float* attention = nullptr;  // [R][Q]
  float* x_mid = nullptr;      // [R][H]; may be x when not kept
  float* gate_up = nullptr;    // [R][2I]
  static std::size_t floats_per_row(const ModelConfig& config);
  // Lays them out in `memory`, which holds rows * floats_per_row() floats.
  static LayerActivations in(float* memory, const ModelConfig& config, int rows);
};
struct LayerScratch {
  float* normed = nullptr;     // [R][H]
  float* qkv = nullptr;        // [R][QKV] after head norms and rope
  float* projected = nullptr;  // [R][H]
  float* activated = nullptr;  // [R][I]
  static std::size_t floats_per_row(const ModelConfig& config);
  static LayerScratch in(float* memory, const ModelConfig& config, int rows);
};
// Copies qkv_raw to qkv (unless they are the same) and applies head norms and rope there.
void rotate_qkv(Lane& lane, const LayerContext& context, const LayerWeights& weights, const float* qkv_raw, float* qkv);

// The layer up to gate_up: all that LayerActivations hold, and not the output.
void layer_activations(Lane& lane, const LayerContext& context, const LayerWeights& weights,
                       std::size_t kv_layer_offset, const float* x, const LayerActivations& kept,
                       const LayerScratch& scratch);
// The whole layer. x and x_out may be the same.
void layer_forward(Lane& lane, const LayerContext& context, const LayerWeights& weights, std::size_t kv_layer_offset,
                   const float* x, const LayerActivations& kept, const LayerScratch& scratch, float* x_out);

struct LayerBackwardScratch {
  float* d_normed = nullptr;      // [R][H]
  float* d_qkv = nullptr;         // [R][QKV]
  float* d_qkv_normed = nullptr;  // [R][QKV], after the head norms; d_qkv where there are none
  float* d_attention = nullptr;   // [R][Q]
  float* d_activated = nullptr;   // [R][I]
  float* d_gate_up = nullptr;     // [R][2I]
  static std::size_t floats_per_row(const ModelConfig& config);
  static LayerBackwardScratch in(float* memory, const ModelConfig& config, int rows);
};
// `dx` holds the gradient of x_out and gets that of x. Adds into `gradients`, parameter after parameter in a fixed
// order. The rows are whole sequences from position 0 on, `sequence_rows` of each.
void layer_backward(Lane& lane, const LayerContext& context, const LayerWeights& weights,
                    const LayerGradients& gradients, std::span<const int> sequence_rows, const float* x,
                    const LayerActivations& kept, const LayerScratch& scratch, const LayerBackwardScratch& backward,
                    float* dx);

}  // namespace jigsaw
