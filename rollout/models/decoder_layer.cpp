#include "rollout/models/decoder_layer.h"

#include <algorithm>

#include "rollout/kernels/kernels.h"

namespace jigsaw {
namespace {

std::size_t qkv_size(const ModelConfig& config) {
  return static_cast<std::size_t>(config.q_size() + 2 * config.kv_size());
}

// RMS norm of `heads` heads of every row, in place. A head is a row to the kernel, so heads of a row can go together or
// rows of a head: whichever makes fewer calls; the bits are the same.
void normalize_heads(Lane& lane, const ModelConfig& config, int rows, int heads, const float* weight, float* x) {
  const auto stride = static_cast<std::ptrdiff_t>(qkv_size(config));
  const int width = config.head_dim;
  if (rows < heads) {
    for (int row = 0; row < rows; ++row) {
      float* first = x + row * stride;
      kernels::rms_norm(lane, heads, width, first, width, weight, config.rms_norm_eps, first, width);
    }
    return;
  }
  for (int head = 0; head < heads; ++head) {
    float* first = x + head * width;
    kernels::rms_norm(lane, rows, width, first, stride, weight, config.rms_norm_eps, first, stride);
  }
}

}  // namespace

LayerWeights layer_weights(const PolicyWeights& weights, int layer) {
  const LayerParameters& p = weights.layout().layer(layer);
  const auto vector = [&](int index) { return index < 0 ? nullptr : weights.parameter(index); };
  return {.attention_norm = vector(p.attention_norm),
          .qkv_bias = vector(p.qkv_bias),
          .q_norm = vector(p.q_norm),
          .k_norm = vector(p.k_norm),
          .mlp_norm = vector(p.mlp_norm),
          .qkv = weights.matrix(p.qkv),
          .attention_out = weights.matrix(p.attention_out),
          .gate_up = weights.matrix(p.gate_up),
          .mlp_down = weights.matrix(p.mlp_down)};
}

LayerGradients layer_gradients(const ParameterLayout& layout, int layer, float* flat) {
  const LayerParameters& p = layout.layer(layer);
  const auto at = [&](int index) { return index < 0 ? nullptr : flat + layout.parameter(index).offset; };
  return {.attention_norm = at(p.attention_norm),
          .qkv_bias = at(p.qkv_bias),
          .q_norm = at(p.q_norm),
          .k_norm = at(p.k_norm),
          .mlp_norm = at(p.mlp_norm),
          .qkv = at(p.qkv),
          .attention_out = at(p.attention_out),
          .gate_up = at(p.gate_up),
          .mlp_down = at(p.mlp_down)};
}

std::size_t LayerActivations::floats_per_row(const ModelConfig& config) {
  return qkv_size(config) + static_cast<std::size_t>(config.q_size() + config.hidden_size) +
         2 * static_cast<std::size_t>(config.intermediate_size);
}

LayerActivations LayerActivations::in(float* memory, const ModelConfig& config, int rows) {
  const auto r = static_cast<std::size_t>(rows);
  LayerActivations kept;
  kept.qkv_raw = memory;
  kept.attention = kept.qkv_raw + r * qkv_size(config);
  kept.x_mid = kept.attention + r * static_cast<std::size_t>(config.q_size());
  kept.gate_up = kept.x_mid + r * static_cast<std::size_t>(config.hidden_size);
  return kept;
}

std::size_t LayerScratch::floats_per_row(const ModelConfig& config) {
  return qkv_size(config) + 2 * static_cast<std::size_t>(config.hidden_size) +
         static_cast<std::size_t>(config.intermediate_size);
}

LayerScratch LayerScratch::in(float* memory, const ModelConfig& config, int rows) {
  const auto r = static_cast<std::size_t>(rows), hidden = static_cast<std::size_t>(config.hidden_size);
  LayerScratch scratch;
  scratch.normed = memory;
  scratch.qkv = scratch.normed + r * hidden;
  scratch.projected = scratch.qkv + r * qkv_size(config);
  scratch.activated = scratch.projected + r * hidden;
  return scratch;
}

void rotate_qkv(Lane& lane, const LayerContext& context, const LayerWeights& weights, const float* qkv_raw,
                float* qkv) {
  const ModelConfig& config = context.config;
  const int rows = context.plan.num_rows();
  const auto stride = static_cast<std::ptrdiff_t>(qkv_size(config));
  float* k = qkv + config.q_size();
  if (qkv != qkv_raw) std::copy_n(qkv_raw, rows * stride, qkv);
  if (config.qk_norm) {
    normalize_heads(lane, config, rows, config.num_heads, weights.q_norm, qkv);
    normalize_heads(lane, config, rows, config.num_kv_heads, weights.k_norm, k);
  }
  // q and k heads stand side by side, so one call turns them all.
  kernels::rope(lane, rows, config.num_heads + config.num_kv_heads, config.head_dim, qkv, stride,
                context.plan.positions(), context.cos_sin, false);
}

void layer_before_attention(Lane& lane, const LayerContext& context, const LayerWeights& weights, const float* x,
                            const LayerActivations& kept, const LayerScratch& scratch) {
  const int rows = context.plan.num_rows(), hidden = context.config.hidden_size;
  const int qkv = static_cast<int>(qkv_size(context.config));
  kernels::rms_norm(lane, rows, hidden, x, hidden, weights.attention_norm, context.config.rms_norm_eps, scratch.normed,
                    hidden);
  kernels::linear(lane, rows, hidden, qkv, scratch.normed, hidden, weights.qkv, weights.qkv_bias, kept.qkv_raw, qkv);
  rotate_qkv(lane, context, weights, kept.qkv_raw, scratch.qkv);
}

void layer_after_attention(Lane& lane, const LayerContext& context, const LayerWeights& weights, const float* x,
                           const LayerActivations& kept, const LayerScratch& scratch) {
  const ModelConfig& config = context.config;
  const int rows = context.plan.num_rows(), hidden = config.hidden_size, q = config.q_size();
  const int gate_up = 2 * config.intermediate_size;
  kernels::linear(lane, rows, q, hidden, kept.attention, q, weights.attention_out, nullptr, scratch.projected, hidden);
  kernels::add(lane, static_cast<std::size_t>(rows) * static_cast<std::size_t>(hidden), x, scratch.projected,
               kept.x_mid);
  kernels::rms_norm(lane, rows, hidden, kept.x_mid, hidden, weights.mlp_norm, config.rms_norm_eps, scratch.normed,
                    hidden);
  kernels::linear(lane, rows, hidden, gate_up, scratch.normed, hidden, weights.gate_up, nullptr, kept.gate_up, gate_up);
}

void layer_output(Lane& lane, const LayerContext& context, const LayerWeights& weights, const LayerActivations& kept,
                  const LayerScratch& scratch, float* x_out) {
  const int rows = context.plan.num_rows(), hidden = context.config.hidden_size;
  const int inner = context.config.intermediate_size;
  kernels::silu_mul(lane, rows, inner, kept.gate_up, scratch.activated);
  kernels::linear(lane, rows, inner, hidden, scratch.activated, inner, weights.mlp_down, nullptr, scratch.projected,
                  hidden);
  kernels::add(lane, static_cast<std::size_t>(rows) * static_cast<std::size_t>(hidden), kept.x_mid, scratch.projected,
               x_out);
}

void layer_activations(Lane& lane, const LayerContext& context, const LayerWeights& weights,
                       std::size_t kv_layer_offset, const float* x, const LayerActivations& kept,
                       const LayerScratch& scratch) {
  layer_before_attention(lane, context, weights, x, kept, scratch);
  context.plan.run(lane, context.config, kv_layer_offset, scratch.qkv, kept.attention);
  layer_after_attention(lane, context, weights, x, kept, scratch);
}

void layer_forward(Lane& lane, const LayerContext& context, const LayerWeights& weights, std::size_t kv_layer_offset,
                   const float* x, const LayerActivations& kept, const LayerScratch& scratch, float* x_out) {
  layer_activations(lane, context, weights, kv_layer_offset, x, kept, scratch);
  layer_output(lane, context, weights, kept, scratch, x_out);
}

}  // namespace jigsaw
