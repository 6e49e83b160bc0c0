// Attention: KV blocks, and how the work is cut into (sequence, kv head, rows) for the threads.
#include <algorithm>
#include <string>
#include <vector>

#include "core/check.h"
#include "rollout/kernels/kernels.h"
#include "rollout/kernels/parallel.h"
#include "rollout/kernels/variant_table.h"

namespace jigsaw::kernels {
namespace {

constexpr int kRowsPerUnit = 32;

std::size_t padded(int head_dim) { return static_cast<std::size_t>((head_dim + kPanel - 1) / kPanel * kPanel); }
std::size_t keys_floats(int head_dim) { return static_cast<std::size_t>(head_dim) * kPanel; }
std::size_t head_floats(int head_dim) { return keys_floats(head_dim) + kPanel * padded(head_dim); }

void check_shape(const AttentionShape& shape) {
  CHECK_MSG(shape.num_kv_heads > 0 && shape.num_heads % shape.num_kv_heads == 0 && shape.head_dim > 0,
            "attention of " + std::to_string(shape.num_heads) + " heads on " + std::to_string(shape.num_kv_heads) +
                " kv heads of dimension " + std::to_string(shape.head_dim));
}

// Where the units of each sequence begin in the list of all units; the last entry is their number.
template <class Sequences, class UnitsOf>
std::vector<std::int64_t>& unit_begins(const Sequences& sequences, UnitsOf&& units_of) {
  thread_local std::vector<std::int64_t> begins;
  begins.assign(1, 0);
  for (const auto& sequence : sequences) begins.push_back(begins.back() + units_of(sequence));
  return begins;
}

struct Unit {
  std::size_t sequence;
  std::int64_t index;  // within the sequence
};

Unit find_unit(const std::vector<std::int64_t>& begins, std::int64_t unit) {
  const auto next = std::upper_bound(begins.begin(), begins.end(), unit);
  const auto sequence = static_cast<std::size_t>(next - begins.begin()) - 1;
  return {sequence, unit - begins[sequence]};
}

}  // namespace

std::size_t kv_block_floats(int num_kv_heads, int head_dim) {
  return static_cast<std::size_t>(num_kv_heads) * head_floats(head_dim);
}

void write_kv(Lane& lane, std::span<const KvWrite> writes, int num_kv_heads, int head_dim) {
  const std::size_t width = padded(head_dim);
  const auto run = [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const KvWrite& write = writes[static_cast<std::size_t>(i)];
      CHECK(write.slot >= 0 && write.slot < kPanel);
      for (int h = 0; h < num_kv_heads; ++h) {
        float* const keys = write.block + static_cast<std::size_t>(h) * head_floats(head_dim) + write.slot;
        const float* const k = write.k + static_cast<std::ptrdiff_t>(h) * head_dim;
        for (int d = 0; d < head_dim; ++d) keys[d * kPanel] = k[d];
        float* const values = write.block + static_cast<std::size_t>(h) * head_floats(head_dim) +
                              keys_floats(head_dim) + static_cast<std::size_t>(write.slot) * width;
        std::copy_n(write.v + static_cast<std::ptrdiff_t>(h) * head_dim, head_dim, values);
        std::fill(values + head_dim, values + width, 0.0f);
      }
    }
  };
  for_each_range(lane, static_cast<std::int64_t>(writes.size()), 8LL * num_kv_heads * head_dim, run);
}

void attention(Lane& lane, const AttentionShape& shape, std::span<const AttentionRows> sequences,
               std::ptrdiff_t q_stride, std::ptrdiff_t out_stride) {
  check_shape(shape);
  const KernelTable& kernels = kernel_table();
  const std::int64_t kv_heads = shape.num_kv_heads;
  // The thread's list is only read while the units run.
  const std::vector<std::int64_t>& begins = unit_begins(sequences, [&](const AttentionRows& rows) {
    return kv_heads * ((rows.num_rows + kRowsPerUnit - 1) / kRowsPerUnit);
  });
  for_each_item(lane, begins.back(), [&](std::int64_t item) {
    // Last units first: in a prefill they are the longest.
    const Unit unit = find_unit(begins, begins.back() - 1 - item);
    const AttentionRows& rows = sequences[unit.sequence];
    const auto kv_head = static_cast<std::ptrdiff_t>(unit.index % kv_heads);
    AttentionTask task;
    task.group = shape.num_heads / shape.num_kv_heads;
    task.head_dim = shape.head_dim;
    task.sliding_window = shape.sliding_window;
    task.scale = shape.scale;
    task.q = rows.q + kv_head * task.group * shape.head_dim;
    task.out = rows.out + kv_head * task.group * shape.head_dim;
    task.q_stride = q_stride;
    task.out_stride = out_stride;
    task.position_begin = rows.position_begin;
    task.row_begin = static_cast<int>(unit.index / kv_heads) * kRowsPerUnit;
    task.row_end = std::min(task.row_begin + kRowsPerUnit, rows.num_rows);
    task.blocks = rows.blocks;
    task.keys_offset = kv_head * static_cast<std::ptrdiff_t>(head_floats(shape.head_dim));
    task.values_offset = task.keys_offset + static_cast<std::ptrdiff_t>(keys_floats(shape.head_dim));
    int num_positions = task.position_begin + task.row_end;
    if (shape.sliding_window > 0) num_positions = std::min(num_positions, shape.sliding_window + kRowsPerUnit + kPanel);
    task.scratch = thread_scratch(kernels.attention_scratch_floats(shape.head_dim, num_positions));
    kernels.attention(task);
  });
}

void attention_backward(Lane& lane, const AttentionShape& shape, std::span<const AttentionBackwardRows> sequences,
                        const AttentionBackwardStrides& strides) {
  check_shape(shape);
  const KernelTable& kernels = kernel_table();
  const std::int64_t kv_heads = shape.num_kv_heads;
  for_each_item(lane, static_cast<std::int64_t>(sequences.size()) * kv_heads, [&](std::int64_t item) {
    const AttentionBackwardRows& rows = sequences[static_cast<std::size_t>(item / kv_heads)];
    if (rows.num_rows == 0) return;
    AttentionBackwardTask task;
    task.num_rows = rows.num_rows;
    task.group = shape.num_heads / shape.num_kv_heads;
    task.head_dim = shape.head_dim;
    task.sliding_window = shape.sliding_window;
    task.scale = shape.scale;
    const std::ptrdiff_t kv_offset = item % kv_heads * shape.head_dim;
    const std::ptrdiff_t q_offset = kv_offset * task.group;
    task.q = rows.q + q_offset;
    task.k = rows.k + kv_offset;
    task.v = rows.v + kv_offset;
    task.out = rows.out + q_offset;
    task.dout = rows.dout + q_offset;
    task.dq = rows.dq + q_offset;
    task.dk = rows.dk + kv_offset;
    task.dv = rows.dv + kv_offset;
    task.q_stride = strides.q;
    task.kv_stride = strides.kv;
    task.out_stride = strides.out;
    task.dq_stride = strides.dq;
    task.dkv_stride = strides.dkv;
    task.scratch = thread_scratch(kernels.attention_backward_scratch_floats(rows.num_rows, shape.head_dim));
    kernels.attention_backward(task);
  });
}

}  // namespace jigsaw::kernels
