#include "rollout/models/attention_plan.h"

#include <cmath>

#include "core/check.h"

namespace jigsaw {

kernels::AttentionShape attention_shape(const ModelConfig& config) {
  return {.num_heads = config.num_heads,
          .num_kv_heads = config.num_kv_heads,
          .head_dim = config.head_dim,
          .sliding_window = config.sliding_window,
          .scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(config.head_dim)))};
}

void AttentionPlan::clear() {
  sequences_.clear();
  positions_.clear();
  blocks_.clear();
}

void AttentionPlan::add_sequence(int num_rows, int position_begin, std::span<float* const> blocks, int parent) {
  CHECK(num_rows >= 0 && position_begin >= 0);
  CHECK(parent >= -1 && parent < static_cast<int>(sequences_.size()));
  const int num_blocks = (position_begin + num_rows + kernels::kPanel - 1) / kernels::kPanel;
  CHECK_MSG(static_cast<std::size_t>(num_blocks) <= blocks.size(), "KV blocks of the new rows are missing");
  sequences_.push_back({num_rows, position_begin, blocks_.size(), parent, this->num_rows()});
  blocks_.insert(blocks_.end(), blocks.begin(), blocks.begin() + num_blocks);
  for (int i = 0; i < num_rows; ++i) positions_.push_back(position_begin + i);
}

void AttentionPlan::run(Lane& lane, const ModelConfig& config, std::size_t layer_offset, const float* qkv, float* out) {
  const std::ptrdiff_t q_size = config.q_size(), kv_size = config.kv_size(), stride = q_size + 2 * kv_size;
  layer_blocks_.resize(blocks_.size());
  for (std::size_t i = 0; i < blocks_.size(); ++i) layer_blocks_[i] = blocks_[i] + layer_offset;

  writes_.clear();
  rows_.clear();
  const auto write = [&](float* const* blocks, int position, std::ptrdiff_t row) {
    const float* k = qkv + row * stride + q_size;
    writes_.push_back({blocks[position / kernels::kPanel], position % kernels::kPanel, k, k + kv_size});
  };
  for (const Sequence& sequence : sequences_) {
    if (sequence.num_rows == 0) continue;
    float* const* blocks = layer_blocks_.data() + sequence.block_begin;
    const std::ptrdiff_t row = sequence.first_row;
    rows_.push_back({.q = qkv + row * stride,
                     .out = out + row * q_size,
                     .num_rows = sequence.num_rows,
                     .position_begin = sequence.position_begin,
                     .blocks = blocks});
    for (int i = 0; i < sequence.num_rows; ++i) write(blocks, sequence.position_begin + i, row + i);
    // From here back to where the first of its ancestors begins.
    int position = sequence.position_begin - 1;
    for (int parent = sequence.parent; parent >= 0;) {
      const Sequence& ancestor = sequences_[static_cast<std::size_t>(parent)];
      for (; position >= ancestor.position_begin; --position) {
        write(blocks, position, ancestor.first_row + position - ancestor.position_begin);
      }
      parent = ancestor.parent;
    }
  }
  kernels::write_kv(lane, writes_, config.num_kv_heads, config.head_dim);
  kernels::attention(lane, attention_shape(config), rows_, stride, q_size);
}

void AttentionPlan::backward(Lane& lane, const ModelConfig& config, const Backward& values) {
  const std::ptrdiff_t q_size = config.q_size(), kv_size = config.kv_size(), stride = q_size + 2 * kv_size;
  backward_rows_.clear();
  for (const Sequence& sequence : sequences_) {
    const int begin = sequence.parent < 0 ? 0 : sequences_[static_cast<std::size_t>(sequence.parent)].num_rows;
    CHECK_MSG(sequence.position_begin == begin, "backward over a part of a sequence");
    const std::ptrdiff_t row = sequence.first_row;
    const float* const qkv = values.qkv + row * stride;
    float* const d_qk = values.d_qk + row * stride;
    backward_rows_.push_back({.num_rows = sequence.num_rows,
                              .q = qkv,
                              .k = qkv + q_size,
                              .v = qkv + q_size + kv_size,
                              .out = values.out + row * q_size,
                              .dout = values.d_out + row * q_size,
                              .dq = d_qk,
                              .dk = d_qk + q_size,
                              .dv = values.d_v + row * stride + q_size + kv_size,
                              .prefix = sequence.parent});
  }
  const kernels::AttentionShape shape = attention_shape(config);
  float* const prefix_sums = prefix_sums_.require(kernels::attention_backward_prefix_floats(shape, backward_rows_));
  kernels::attention_backward(lane, shape, backward_rows_,
                              {.q = stride, .kv = stride, .out = q_size, .dq = stride, .dkv = stride}, prefix_sums);
}

void AttentionPlan::backward_chunks(Lane& lane, const ModelConfig& config, const Backward& values, const float* kv,
                                    std::span<float* const> d_kv) {
  CHECK(d_kv.size() == sequences_.size());
  const std::ptrdiff_t q_size = config.q_size(), kv_size = config.kv_size(), stride = q_size + 2 * kv_size;
  backward_rows_.clear();
  for (std::size_t i = 0; i < sequences_.size(); ++i) {
    const Sequence& sequence = sequences_[i];
    CHECK(sequence.parent < 0);
    const std::ptrdiff_t row = sequence.first_row;
    backward_rows_.push_back({.num_rows = sequence.num_rows,
                              .q = values.qkv + row * stride,
                              .k = kv,
                              .v = kv + kv_size,
                              .out = values.out + row * q_size,
                              .dout = values.d_out + row * q_size,
                              .dq = values.d_qk + row * stride,
                              .dk = d_kv[i],
                              .dv = d_kv[i] + kv_size,
                              .past = sequence.position_begin});
  }
  kernels::attention_backward(lane, attention_shape(config), backward_rows_,
                              {.q = stride, .kv = 2 * kv_size, .out = q_size, .dq = stride, .dkv = 2 * kv_size},
                              nullptr);
}

}  // namespace jigsaw
