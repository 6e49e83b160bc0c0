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

// Where one layer's parameters are, or their gradients; vectors that the model has not are null.
template <typename Vector, typename Matrix>
struct LayerPointers {
  Vector attention_norm, qkv_bias, q_norm, k_norm, mlp_norm;
  Matrix qkv, attention_out, gate_up, mlp_down;
};
using LayerWeights = LayerPointers<const float*, kernels::WeightPanels>;
using LayerGradients = LayerPointers<float*, float*>;
LayerWeights layer_weights(const PolicyWeights& weights, int layer);
LayerGradients layer_gradients(const ParameterLayout& layout, int layer, float* flat);

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

// The layer in the three parts that attention and what is kept cut it into; attention itself stands between the first
// two. First: x -> kept.qkv_raw, and scratch.qkv.
void layer_before_attention(Lane& lane, const LayerContext& context, const LayerWeights& weights, const float* x,
                            const LayerActivations& kept, const LayerScratch& scratch);
// kept.attention -> kept.x_mid, kept.gate_up.
void layer_after_attention(Lane& lane, const LayerContext& context, const LayerWeights& weights, const float* x,
                           const LayerActivations& kept, const LayerScratch& scratch);
// kept.gate_up -> x_out.
void layer_output(Lane& lane, const LayerContext& context, const LayerWeights& weights, const LayerActivations& kept,
                  const LayerScratch& scratch, float* x_out);
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
// order. The rows are whole sequences, as AttentionPlan::backward() wants them.
void layer_backward(Lane& lane, const LayerContext& context, const LayerWeights& weights,
                    const LayerGradients& gradients, const float* x, const LayerActivations& kept,
                    const LayerScratch& scratch, const LayerBackwardScratch& backward, float* dx);

// The same in two parts, between which attention's backward stands. First: from dx, the gradient of x_out, to
// backward.d_attention; leaves the gradient of x_mid in dx and what attention saw in scratch.qkv.
void layer_backward_to_attention(Lane& lane, const LayerContext& context, const LayerWeights& weights,
                                 const LayerGradients& gradients, const LayerActivations& kept,
                                 const LayerScratch& scratch, const LayerBackwardScratch& backward, float* dx);
// From the gradients of q and k in backward.d_qkv_normed and of v in backward.d_qkv to that of x, in dx.
void layer_backward_from_attention(Lane& lane, const LayerContext& context, const LayerWeights& weights,
                                   const LayerGradients& gradients, const float* x, const LayerActivations& kept,
                                   const LayerScratch& scratch, const LayerBackwardScratch& backward, float* dx);

}  // namespace jigsaw
