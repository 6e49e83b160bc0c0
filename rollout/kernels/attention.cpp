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

// ---- Backward -------------------------------------------------------------------------------------------------------

// Where each sequence's part of the prefix scratch begins: [rows of its prefix][dk, dv][num_kv_heads * head_dim]; the
// last entry is the size of all.
std::vector<std::size_t> prefix_begins(const AttentionShape& shape, std::span<const AttentionBackwardRows> sequences) {
  std::vector<std::size_t> begins = {0};
  for (const AttentionBackwardRows& rows : sequences) {
    const int prefix_rows = rows.prefix < 0 ? 0 : sequences[static_cast<std::size_t>(rows.prefix)].num_rows;
    begins.push_back(begins.back() + 2 * static_cast<std::size_t>(prefix_rows) *
                                         static_cast<std::size_t>(shape.num_kv_heads * shape.head_dim));
  }
  return begins;
}

// One kv head of one sequence.
struct BackwardOfHead {
  const AttentionShape& shape;
  const AttentionBackwardStrides& strides;
  const AttentionBackwardRows& rows;
  std::int64_t kv_head;

  std::ptrdiff_t kv_offset() const { return kv_head * shape.head_dim; }

  void run() const {
    AttentionBackwardTask task = task_of(rows.past + rows.num_rows, rows.past);
    task.k = rows.k + kv_offset();
    task.v = rows.v + kv_offset();
    task.dk = rows.dk + kv_offset();
    task.dv = rows.dv + kv_offset();
    task.kv_stride = strides.kv;
    task.dkv_stride = strides.dkv;
    task.scratch = thread_scratch(kernel_table().attention_backward_scratch_floats(task.num_positions, shape.head_dim));
    kernel_table().attention_backward(task);
  }

  // Keys and values of the prefix and its own rows side by side; what the prefix gets goes to `prefix_sums`.
  void run_after(const AttentionBackwardRows& prefix, float* prefix_sums) const {
    const std::ptrdiff_t width = shape.head_dim, kv_size = shape.num_kv_heads * width;
    const std::ptrdiff_t before = prefix.num_rows, all = before + rows.num_rows;
    AttentionBackwardTask task = task_of(static_cast<int>(all), prefix.num_rows);
    const std::size_t scratch_floats =
        kernel_table().attention_backward_scratch_floats(task.num_positions, shape.head_dim);
    float* const k = thread_scratch(scratch_floats + 4 * static_cast<std::size_t>(all * width));
    float *const v = k + all * width, *const dk = v + all * width, *const dv = dk + all * width;
    task.scratch = dv + all * width;
    const auto gather = [&](const AttentionBackwardRows& from, std::ptrdiff_t begin) {
      for (std::ptrdiff_t row = 0; row < from.num_rows; ++row) {
        std::copy_n(from.k + row * strides.kv + kv_offset(), width, k + (begin + row) * width);
        std::copy_n(from.v + row * strides.kv + kv_offset(), width, v + (begin + row) * width);
      }
    };
    gather(prefix, 0);
    gather(rows, before);
    task.k = k;
    task.v = v;
    task.dk = dk;
    task.dv = dv;
    task.kv_stride = task.dkv_stride = width;
    kernel_table().attention_backward(task);
    for (std::ptrdiff_t row = 0; row < before; ++row) {
      std::copy_n(dk + row * width, width, prefix_sums + 2 * row * kv_size + kv_offset());
      std::copy_n(dv + row * width, width, prefix_sums + (2 * row + 1) * kv_size + kv_offset());
    }
    for (std::ptrdiff_t row = 0; row < rows.num_rows; ++row) {
      std::copy_n(dk + (before + row) * width, width, rows.dk + row * strides.dkv + kv_offset());
      std::copy_n(dv + (before + row) * width, width, rows.dv + row * strides.dkv + kv_offset());
    }
  }

 private:
  AttentionBackwardTask task_of(int num_positions, int query_begin) const {
    AttentionBackwardTask task;
    task.num_positions = num_positions;
    task.query_begin = query_begin;
    task.group = shape.num_heads / shape.num_kv_heads;
    task.head_dim = shape.head_dim;
    task.sliding_window = shape.sliding_window;
    task.scale = shape.scale;
    const std::ptrdiff_t q_offset = kv_offset() * task.group;
    task.q = rows.q + q_offset;
    task.out = rows.out + q_offset;
    task.dout = rows.dout + q_offset;
    task.dq = rows.dq + q_offset;
    task.q_stride = strides.q;
    task.out_stride = strides.out;
    task.dq_stride = strides.dq;
    return task;
  }
};

// Onto dk and dv of a prefix, what one sequence after it has for it.
void add_prefix_sums(Lane& lane, const AttentionShape& shape, const AttentionBackwardStrides& strides,
                     const AttentionBackwardRows& prefix, const float* prefix_sums) {
  const std::ptrdiff_t kv_size = shape.num_kv_heads * shape.head_dim;
  const auto add = [&](const float* from, float* to) {
    for (std::ptrdiff_t i = 0; i < kv_size; ++i) to[i] += from[i];
  };
  for_each_range(lane, prefix.num_rows, 2 * kv_size, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      const float* const sums = prefix_sums + 2 * row * kv_size;
      add(sums, prefix.dk + row * strides.dkv);
      add(sums + kv_size, prefix.dv + row * strides.dkv);
    }
  });
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

std::size_t attention_backward_prefix_floats(const AttentionShape& shape,
                                             std::span<const AttentionBackwardRows> sequences) {
  return prefix_begins(shape, sequences).back();
}

void attention_backward(Lane& lane, const AttentionShape& shape, std::span<const AttentionBackwardRows> sequences,
                        const AttentionBackwardStrides& strides, float* prefix_scratch) {
  check_shape(shape);
  const std::int64_t kv_heads = shape.num_kv_heads;
  const std::vector<std::size_t> begins = prefix_begins(shape, sequences);
  for_each_item(lane, static_cast<std::int64_t>(sequences.size()) * kv_heads, [&](std::int64_t item) {
    const auto place = static_cast<std::size_t>(item / kv_heads);
    const AttentionBackwardRows& rows = sequences[place];
    if (rows.num_rows == 0) return;
    const BackwardOfHead head{shape, strides, rows, item % kv_heads};
    if (rows.prefix < 0) {
      head.run();
    } else {
      head.run_after(sequences[static_cast<std::size_t>(rows.prefix)], prefix_scratch + begins[place]);
    }
  });
  for (std::size_t place = 0; place < sequences.size(); ++place) {
    if (const int prefix = sequences[place].prefix; prefix >= 0) {
      add_prefix_sums(lane, shape, strides, sequences[static_cast<std::size_t>(prefix)],
                      prefix_scratch + begins[place]);
    }
  }
}

}  // namespace jigsaw::kernels
