#include "rollout/kernels/kernels.h"
#include "rollout/models/decoder_layer.h"

namespace jigsaw {
namespace {

struct Sizes {
  int rows, hidden, inner, q, kv, qkv;
  explicit Sizes(const LayerContext& context)
      : rows(context.plan.num_rows()),
        hidden(context.config.hidden_size),
        inner(context.config.intermediate_size),
        q(context.config.q_size()),
        kv(context.config.kv_size()),
        qkv(q + 2 * kv) {}
};

// x_mid -> x_out. dx holds the gradient of x_out and gets that of x_mid.
void mlp_backward(Lane& lane, const LayerContext& context, const LayerWeights& weights, const LayerGradients& gradients,
                  const LayerActivations& kept, const LayerScratch& scratch, const LayerBackwardScratch& backward,
                  float* dx) {
  const Sizes s(context);
  const float eps = context.config.rms_norm_eps;
  kernels::silu_mul(lane, s.rows, s.inner, kept.gate_up, scratch.activated);
  kernels::linear_backward_weight(lane, s.rows, s.inner, s.hidden, scratch.activated, s.inner, dx, s.hidden,
                                  gradients.mlp_down);
  kernels::linear_backward_input(lane, s.rows, s.inner, s.hidden, dx, s.hidden, weights.mlp_down, backward.d_activated,
                                 s.inner, false);
  kernels::silu_mul_backward(lane, s.rows, s.inner, kept.gate_up, backward.d_activated, backward.d_gate_up);

  kernels::rms_norm(lane, s.rows, s.hidden, kept.x_mid, s.hidden, weights.mlp_norm, eps, scratch.normed, s.hidden);
  kernels::linear_backward_weight(lane, s.rows, s.hidden, 2 * s.inner, scratch.normed, s.hidden, backward.d_gate_up,
                                  2 * s.inner, gradients.gate_up);
  kernels::linear_backward_input(lane, s.rows, s.hidden, 2 * s.inner, backward.d_gate_up, 2 * s.inner, weights.gate_up,
                                 backward.d_normed, s.hidden, false);
  kernels::rms_norm_backward(lane, s.rows, s.hidden, kept.x_mid, s.hidden, weights.mlp_norm, eps, backward.d_normed,
                             s.hidden, dx, s.hidden, true, gradients.mlp_norm);
}

// Head by head, rows in order: a fixed order of additions into the one weight that all heads share.
void head_norms_backward(Lane& lane, const LayerContext& context, int heads, const float* weight, const float* x,
                         const float* dy, float* dx, float* dweight) {
  const Sizes s(context);
  const int width = context.config.head_dim;
  for (int head = 0; head < heads; ++head) {
    const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(head) * width;
    kernels::rms_norm_backward(lane, s.rows, width, x + at, s.qkv, weight, context.config.rms_norm_eps, dy + at, s.qkv,
                               dx + at, s.qkv, false, dweight);
  }
}

}  // namespace

std::size_t LayerBackwardScratch::floats_per_row(const ModelConfig& config) {
  const auto hidden = static_cast<std::size_t>(config.hidden_size), q = static_cast<std::size_t>(config.q_size());
  const std::size_t qkv = q + 2 * static_cast<std::size_t>(config.kv_size());
  return hidden + (config.qk_norm ? 2 : 1) * qkv + q + 3 * static_cast<std::size_t>(config.intermediate_size);
}

LayerBackwardScratch LayerBackwardScratch::in(float* memory, const ModelConfig& config, int rows) {
  const auto r = static_cast<std::size_t>(rows), q = static_cast<std::size_t>(config.q_size());
  const std::size_t qkv = q + 2 * static_cast<std::size_t>(config.kv_size());
  LayerBackwardScratch scratch;
  scratch.d_normed = memory;
  scratch.d_qkv = scratch.d_normed + r * static_cast<std::size_t>(config.hidden_size);
  scratch.d_qkv_normed = config.qk_norm ? scratch.d_qkv + r * qkv : scratch.d_qkv;
  scratch.d_attention = scratch.d_qkv_normed + r * qkv;
  scratch.d_activated = scratch.d_attention + r * q;
  scratch.d_gate_up = scratch.d_activated + r * static_cast<std::size_t>(config.intermediate_size);
  return scratch;
}

void layer_backward_to_attention(Lane& lane, const LayerContext& context, const LayerWeights& weights,
                                 const LayerGradients& gradients, const LayerActivations& kept,
                                 const LayerScratch& scratch, const LayerBackwardScratch& backward, float* dx) {
  const Sizes s(context);
  mlp_backward(lane, context, weights, gradients, kept, scratch, backward, dx);
  kernels::linear_backward_weight(lane, s.rows, s.q, s.hidden, kept.attention, s.q, dx, s.hidden,
                                  gradients.attention_out);
  kernels::linear_backward_input(lane, s.rows, s.q, s.hidden, dx, s.hidden, weights.attention_out, backward.d_attention,
                                 s.q, false);
  rotate_qkv(lane, context, weights, kept.qkv_raw, scratch.qkv);
}

void layer_backward_from_attention(Lane& lane, const LayerContext& context, const LayerWeights& weights,
                                   const LayerGradients& gradients, const float* x, const LayerActivations& kept,
                                   const LayerScratch& scratch, const LayerBackwardScratch& backward, float* dx) {
  const ModelConfig& config = context.config;
  const Sizes s(context);
  const float eps = config.rms_norm_eps;
  kernels::rope(lane, s.rows, config.num_heads + config.num_kv_heads, config.head_dim, backward.d_qkv_normed, s.qkv,
                context.plan.positions(), context.cos_sin, true);
  if (config.qk_norm) {
    head_norms_backward(lane, context, config.num_heads, weights.q_norm, kept.qkv_raw, backward.d_qkv_normed,
                        backward.d_qkv, gradients.q_norm);
    head_norms_backward(lane, context, config.num_kv_heads, weights.k_norm, kept.qkv_raw + s.q,
                        backward.d_qkv_normed + s.q, backward.d_qkv + s.q, gradients.k_norm);
  }
  if (gradients.qkv_bias != nullptr) {
    kernels::bias_backward(lane, s.rows, s.qkv, backward.d_qkv, s.qkv, gradients.qkv_bias);
  }
  kernels::rms_norm(lane, s.rows, s.hidden, x, s.hidden, weights.attention_norm, eps, scratch.normed, s.hidden);
  kernels::linear_backward_weight(lane, s.rows, s.hidden, s.qkv, scratch.normed, s.hidden, backward.d_qkv, s.qkv,
                                  gradients.qkv);
  kernels::linear_backward_input(lane, s.rows, s.hidden, s.qkv, backward.d_qkv, s.qkv, weights.qkv, backward.d_normed,
                                 s.hidden, false);
  kernels::rms_norm_backward(lane, s.rows, s.hidden, x, s.hidden, weights.attention_norm, eps, backward.d_normed,
                             s.hidden, dx, s.hidden, true, gradients.attention_norm);
}

void layer_backward(Lane& lane, const LayerContext& context, const LayerWeights& weights,
                    const LayerGradients& gradients, const float* x, const LayerActivations& kept,
                    const LayerScratch& scratch, const LayerBackwardScratch& backward, float* dx) {
  layer_backward_to_attention(lane, context, weights, gradients, kept, scratch, backward, dx);
  context.plan.backward(lane, context.config,
                        {.qkv = scratch.qkv,
                         .out = kept.attention,
                         .d_out = backward.d_attention,
                         .d_qk = backward.d_qkv_normed,
                         .d_v = backward.d_qkv});
  layer_backward_from_attention(lane, context, weights, gradients, x, kept, scratch, backward, dx);
}

}  // namespace jigsaw
