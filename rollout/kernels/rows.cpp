// Row operations: how the rows, or columns where rows are summed, are shared among the threads.
#include <algorithm>
#include <bit>
#include <string>

#include "core/check.h"
#include "rollout/kernels/kernels.h"
#include "rollout/kernels/parallel.h"
#include "rollout/kernels/variant_table.h"

namespace jigsaw::kernels {
namespace {

// log of a positive finite double: 2^e m with m in [sqrt(1/2), sqrt(2)), log m = 2 atanh((m-1)/(m+1)) as a series.
// Plain arithmetic in a fixed order, so that no C library version matters.
double log_of(double x) {
  std::uint64_t bits;
  __builtin_memcpy(&bits, &x, sizeof bits);
  int exponent = static_cast<int>(bits >> 52) - 1023;
  bits = (bits & 0x000fffffffffffffULL) | 0x3ff0000000000000ULL;
  double m;
  __builtin_memcpy(&m, &bits, sizeof m);
  if (m > 1.4142135623730951) {
    m *= 0.5;
    ++exponent;
  }
  const double s = (m - 1.0) / (m + 1.0);
  const double s2 = s * s;
  double series = 0;
  for (int odd = 23; odd >= 1; odd -= 2) series = series * s2 + 1.0 / odd;
  return exponent * 0.6931471805599453 + 2.0 * s * series;
}

std::int64_t panels_of(int width) { return (width + kPanel - 1) / kPanel; }

// f(first, last) on column ranges that begin at multiples of 16.
template <class F>
void for_each_column_range(Lane& lane, int width, std::int64_t work_per_column, F&& f) {
  const auto range = [&](std::int64_t begin, std::int64_t end) {
    f(static_cast<int>(begin * kPanel), static_cast<int>(std::min<std::int64_t>(end * kPanel, width)));
  };
  for_each_range(lane, panels_of(width), work_per_column * kPanel, range);
}

// f(r) for each row.
template <class F>
void for_each_row(Lane& lane, int rows, std::int64_t work_per_row, F&& f) {
  const auto range = [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) f(static_cast<std::ptrdiff_t>(r));
  };
  for_each_range(lane, rows, work_per_row, range);
}

// Where the first input of row `token` stands; `depth` words a panel and lane.
std::ptrdiff_t panel_row(int depth, std::int32_t token) {
  return static_cast<std::ptrdiff_t>(token / kPanel) * depth * kPanel + token % kPanel;
}

}  // namespace

void embed(Lane& lane, std::span<const std::int32_t> tokens, int hidden, WeightPanels embedding, float* y) {
  for_each_row(lane, static_cast<int>(tokens.size()), 8LL * hidden, [&](std::ptrdiff_t r) {
    const std::int32_t token = tokens[static_cast<std::size_t>(r)];
    float* const out = y + r * hidden;
    if (embedding.bf16 == nullptr) {
      const float* const row = embedding.fp32 + panel_row(hidden, token);
      for (int i = 0; i < hidden; ++i) out[i] = row[static_cast<std::ptrdiff_t>(i) * kPanel];
    } else {
      const std::uint32_t* const row = embedding.bf16 + panel_row((hidden + 1) / 2, token);
      for (int i = 0; i < hidden; ++i) {
        const std::uint32_t pair = row[static_cast<std::ptrdiff_t>(i / 2) * kPanel];
        out[i] = std::bit_cast<float>(i % 2 == 0 ? pair << 16 : pair & 0xffff0000U);
      }
    }
  });
}

void embed_backward(Lane& lane, std::span<const std::int32_t> tokens, int hidden, const float* dy, float* dpanels) {
  const auto rows = static_cast<std::ptrdiff_t>(tokens.size());
  for_each_column_range(lane, hidden, 8 * rows, [&](int first, int last) {
    for (std::ptrdiff_t r = 0; r < rows; ++r) {
      const std::int32_t token = tokens[static_cast<std::size_t>(r)];
      float* const row = dpanels + panel_row(hidden, token);
      for (int i = first; i < last; ++i) row[static_cast<std::ptrdiff_t>(i) * kPanel] += dy[r * hidden + i];
    }
  });
}

void rms_norm(Lane& lane, int rows, int width, const float* x, std::ptrdiff_t x_stride, const float* weight, float eps,
              float* y, std::ptrdiff_t y_stride) {
  const auto range = [&](std::int64_t begin, std::int64_t end) {
    kernel_table().rms_norm(static_cast<int>(end - begin), width, x + begin * x_stride, x_stride, weight, eps,
                            y + begin * y_stride, y_stride);
  };
  for_each_range(lane, rows, width, range);
}

void rms_norm_backward(Lane& lane, int rows, int width, const float* x, std::ptrdiff_t x_stride, const float* weight,
                       float eps, const float* dy, std::ptrdiff_t dy_stride, float* dx, std::ptrdiff_t dx_stride,
                       bool accumulate, float* dweight) {
  const KernelTable& kernels = kernel_table();
  float* const inv_rms = thread_scratch(static_cast<std::size_t>(std::max(rows, 0)));  // the loops below use none
  const auto scales = [&](std::int64_t begin, std::int64_t end) {
    kernels.inv_rms(static_cast<int>(end - begin), width, x + begin * x_stride, x_stride, eps, inv_rms + begin);
  };
  for_each_range(lane, rows, width, scales);
  // Before dx, which may stand where dy does.
  for_each_column_range(lane, width, rows, [&](int first, int last) {
    kernels.rms_norm_dweight(rows, last - first, x + first, x_stride, dy + first, dy_stride, inv_rms, dweight + first);
  });
  const auto inputs = [&](std::int64_t begin, std::int64_t end) {
    kernels.rms_norm_dx(static_cast<int>(end - begin), width, x + begin * x_stride, x_stride, weight, inv_rms + begin,
                        dy + begin * dy_stride, dy_stride, dx + begin * dx_stride, dx_stride, accumulate);
  };
  for_each_range(lane, rows, 2LL * width, inputs);
}

void rope(Lane& lane, int rows, int heads, int head_dim, float* x, std::ptrdiff_t x_stride,
          std::span<const std::int32_t> positions, const float* cos_sin, bool inverse) {
  CHECK_MSG(head_dim % 2 == 0, "rope needs an even head_dim, not " + std::to_string(head_dim));
  CHECK(positions.size() >= static_cast<std::size_t>(std::max(rows, 0)));
  const int half = head_dim / 2;
  for_each_row(lane, rows, 1LL * heads * head_dim, [&](std::ptrdiff_t r) {
    const float* const cosines =
        cos_sin + static_cast<std::ptrdiff_t>(positions[static_cast<std::size_t>(r)]) * head_dim;
    kernel_table().rope(heads, head_dim, x + r * x_stride, cosines, cosines + half, inverse);
  });
}

void silu_mul(Lane& lane, int rows, int width, const float* gate_up, float* out) {
  for_each_row(lane, rows, 4LL * width, [&](std::ptrdiff_t r) {
    const float* const gate = gate_up + r * 2 * width;
    kernel_table().silu_mul(width, gate, gate + width, out + r * width);
  });
}

void silu_mul_backward(Lane& lane, int rows, int width, const float* gate_up, const float* dout, float* dgate_up) {
  for_each_row(lane, rows, 6LL * width, [&](std::ptrdiff_t r) {
    const float* const gate = gate_up + r * 2 * width;
    float* const dgate = dgate_up + r * 2 * width;
    kernel_table().silu_mul_backward(width, gate, gate + width, dout + r * width, dgate, dgate + width);
  });
}

void log_softmax_stats(Lane& lane, int rows, int vocab, const float* logits, std::ptrdiff_t stride,
                       LogSoftmaxStats* stats) {
  CHECK(vocab > 0);
  for_each_row(lane, rows, 4LL * vocab, [&](std::ptrdiff_t r) {
    const float* const row = logits + r * stride;
    const float highest = kernel_table().row_max(vocab, row);
    // At least 1, the term of the maximum itself; NaN where the row has a NaN or no finite maximum.
    const float sum = kernel_table().sum_exp(vocab, row, highest);
    stats[r] = {highest, sum >= 1.0f ? static_cast<float>(log_of(static_cast<double>(sum))) : __builtin_nanf("")};
  });
}

void log_softmax_backward(Lane& lane, int rows, int vocab, float* logits, std::ptrdiff_t stride,
                          const LogSoftmaxStats* stats, std::span<const std::int32_t> targets, const float* dlogp) {
  CHECK(targets.size() >= static_cast<std::size_t>(std::max(rows, 0)));
  for_each_row(lane, rows, 4LL * vocab, [&](std::ptrdiff_t r) {
    float* const row = logits + r * stride;
    const std::int32_t target = targets[static_cast<std::size_t>(r)];
    CHECK(target >= 0 && target < vocab);
    kernel_table().softmax_backward(vocab, row, stats[r].max, stats[r].log_sum, dlogp[r]);
    row[target] += dlogp[r];
  });
}

void entropy(Lane& lane, int rows, int vocab, const float* logits, std::ptrdiff_t stride, const LogSoftmaxStats* stats,
             float* out) {
  for_each_row(lane, rows, 4LL * vocab, [&](std::ptrdiff_t r) {
    out[r] =
        stats[r].log_sum - kernel_table().expected_shifted(vocab, logits + r * stride, stats[r].max, stats[r].log_sum);
  });
}

void exp_scaled(std::size_t count, const float* x, float shift, float scale, float* out) {
  kernel_table().exp_scaled(count, x, shift, scale, out);
}

}  // namespace jigsaw::kernels
