// Products: how one is cut into units for the threads. Any cut gives the same bits.
#include <algorithm>

#include "core/check.h"
#include "rollout/kernels/kernels.h"
#include "rollout/kernels/parallel.h"
#include "rollout/kernels/variant_table.h"

namespace jigsaw::kernels {
namespace {

constexpr int kRowsPerUnit = 192;       // the packed rows of a unit stay in the L2 cache
constexpr double kSerialFlops = 200e3;  // some microseconds: not worth waking a thread
constexpr int kUnitsPerThread = 2;
constexpr int kPanelsPerUnit = 16;  // at least, where there are enough

std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

// The weights as the B of a task.
void set_weights(ProductTask& task, int k, WeightPanels w) {
  task.b_is_bf16 = w.bf16 != nullptr;
  // Words of either format; the variants read bf16 ones as bits.
  task.b = task.b_is_bf16 ? reinterpret_cast<const float*>(w.bf16) : w.fp32;
  task.b_panel_stride = (task.b_is_bf16 ? divide_up(k, 2) : k) * kPanel;
}

// Runs `task` on all rows and columns.
void run(Lane& lane, const ProductTask& task, int rows) {
  CHECK(rows >= 0 && task.depth >= 0 && task.num_columns >= 0);
  if (rows == 0 || task.num_columns == 0) return;
  const KernelTable& kernels = kernel_table();
  const std::int64_t num_panels = divide_up(task.num_columns, kPanel);
  const double flops = 2.0 * rows * task.depth * task.num_columns;
  const std::int64_t threads = flops < kSerialFlops ? 1 : lane.num_threads();

  // Panels go in pairs, as the register tiles take them.
  const std::int64_t num_pairs = divide_up(num_panels, 2);
  std::int64_t panel_parts = 1;
  std::int64_t row_parts = divide_up(rows, kRowsPerUnit);
  if (threads > 1) {
    panel_parts = std::clamp<std::int64_t>(num_panels / kPanelsPerUnit, std::min(threads, num_pairs),
                                           std::max(threads * kUnitsPerThread, threads));
    if (panel_parts % threads != 0 && panel_parts < threads * kUnitsPerThread) {
      panel_parts = std::max<std::int64_t>(panel_parts / threads * threads, std::min(threads, num_pairs));
    }
    if (num_pairs < threads)
      row_parts = std::max(row_parts, std::min<std::int64_t>(rows, divide_up(threads, num_pairs)));
  }

  const auto run_unit = [&](std::int64_t unit) {
    const std::int64_t row_part = unit / panel_parts;
    const std::int64_t panel_part = unit % panel_parts;
    ProductTask part = task;
    part.row_begin = static_cast<int>(rows * row_part / row_parts);
    part.row_end = static_cast<int>(rows * (row_part + 1) / row_parts);
    part.panel_begin = static_cast<int>(num_pairs * panel_part / panel_parts * 2);
    part.panel_end = static_cast<int>(std::min(num_pairs * (panel_part + 1) / panel_parts * 2, num_panels));
    part.scratch = thread_scratch(kernels.product_scratch_floats(part.row_end - part.row_begin, part.depth));
    kernels.product(part);
  };
  if (threads == 1) {
    for (std::int64_t unit = 0; unit < row_parts * panel_parts; ++unit) run_unit(unit);
  } else {
    for_each_item(lane, row_parts * panel_parts, run_unit);
  }
}

}  // namespace

void product(Lane& lane, const ProductArgs& args) {
  ProductTask task;
  task.depth = args.depth;
  task.num_columns = args.num_columns;
  task.a = args.a;
  task.a_row_stride = args.a_row_stride;
  task.a_depth_stride = args.a_depth_stride;
  task.b = args.b;
  task.b_panel_stride = args.b_panel_stride;
  task.b_depth_stride = args.b_depth_stride;
  task.c = args.c;
  task.c_row_stride = args.c_row_stride;
  task.c_panel_stride = args.c_panel_stride;
  task.bias = args.bias;
  task.accumulate = args.accumulate;
  run(lane, task, args.rows);
}

void linear(Lane& lane, int rows, int k, int n, const float* x, std::ptrdiff_t x_stride, WeightPanels w,
            const float* bias, float* y, std::ptrdiff_t y_stride) {
  ProductTask task;
  task.depth = k;
  task.num_columns = n;
  task.a = x;
  task.a_row_stride = x_stride;
  set_weights(task, k, w);
  task.b_padded = true;
  task.c = y;
  task.c_row_stride = y_stride;
  task.bias = bias;
  run(lane, task, rows);
}

void linear_backward_input(Lane& lane, int rows, int k, int n, const float* dy, std::ptrdiff_t dy_stride,
                           WeightPanels w, float* dx, std::ptrdiff_t dx_stride, bool accumulate) {
  ProductTask task;
  task.depth = n;
  task.num_columns = k;
  task.a = dy;
  task.a_row_stride = dy_stride;
  set_weights(task, k, w);
  task.b_transposed = true;
  task.c = dx;
  task.c_row_stride = dx_stride;
  task.accumulate = accumulate;
  run(lane, task, rows);
}

void linear_backward_weight(Lane& lane, int rows, int k, int n, const float* x, std::ptrdiff_t x_stride,
                            const float* dy, std::ptrdiff_t dy_stride, float* dw_panels) {
  ProductTask task;
  task.depth = rows;
  task.num_columns = n;
  task.a = x;
  task.a_row_stride = 1;
  task.a_depth_stride = x_stride;
  task.b = dy;
  task.b_panel_stride = kPanel;
  task.b_depth_stride = dy_stride;
  task.c = dw_panels;
  task.c_row_stride = kPanel;
  task.c_panel_stride = static_cast<std::ptrdiff_t>(k) * kPanel;
  task.accumulate = true;
  run(lane, task, k);
}

void bias_backward(Lane& lane, int rows, int n, const float* dy, std::ptrdiff_t dy_stride, float* dbias) {
  const auto columns = [&](std::int64_t begin, std::int64_t end) {
    const int first = static_cast<int>(begin * kPanel);
    const int last = static_cast<int>(std::min<std::int64_t>(end * kPanel, n));
    kernel_table().sum_rows(rows, last - first, dy + first, dy_stride, dbias + first);
  };
  for_each_range(lane, divide_up(n, kPanel), static_cast<std::int64_t>(rows) * kPanel, columns);
}

}  // namespace jigsaw::kernels
