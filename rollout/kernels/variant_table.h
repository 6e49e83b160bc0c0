// What each variant (AVX-512, AVX2, portable) provides: serial functions over a range of the work, in one table.
// The translation units of the variants include this header and no standard templates: what they instantiate would be
// compiled for their instruction set, and the linker could pick that copy for everyone.
#pragma once

#include <cstddef>
#include <cstdint>

namespace jigsaw::kernels {

// A share of a product: rows [row_begin, row_end) by column panels [panel_begin, panel_end). See ProductArgs.
struct ProductTask {
  int depth = 0, num_columns = 0;
  const float* a = nullptr;
  std::ptrdiff_t a_row_stride = 0, a_depth_stride = 1;
  const float* b = nullptr;
  std::ptrdiff_t b_panel_stride = 0, b_depth_stride = 16;
  float* c = nullptr;
  std::ptrdiff_t c_row_stride = 0, c_panel_stride = 16;
  const float* bias = nullptr;
  bool accumulate = false;
  bool b_padded = false;  // the last panel of B may be read in full
  // B(k, n) at b[(k/16) * b_panel_stride + n * 16 + k % 16] instead: panels of a weight read across.
  bool b_transposed = false;
  // B is weights in bf16 (WeightPanels): words of two positions of k, b_depth_stride words from pair to pair. Strides
  // and offsets of B count words.
  bool b_is_bf16 = false;
  int row_begin = 0, row_end = 0, panel_begin = 0, panel_end = 0;
  float* scratch = nullptr;  // product_scratch_floats(rows, depth)
};

struct AttentionTask {
  int group = 1;  // query heads per kv head
  int head_dim = 0, sliding_window = 0;
  float scale = 0;
  const float* q = nullptr;  // row 0, first head of the group
  float* out = nullptr;
  std::ptrdiff_t q_stride = 0, out_stride = 0;
  int position_begin = 0;  // of row 0
  int row_begin = 0, row_end = 0;
  const float* const* blocks = nullptr;
  std::ptrdiff_t keys_offset = 0, values_offset = 0;  // of this kv head within a block
  float* scratch = nullptr;  // attention_scratch_floats(row_end - row_begin, last position, ...)
};

// One kv head of one sequence; pointers stand at the first head of the group.
struct AttentionBackwardTask {
  // Positions 0 .. num_positions-1 have keys and values, those from query_begin on queries, which q, out, dout and dq
  // begin with.
  int num_positions = 0, query_begin = 0, group = 1, head_dim = 0, sliding_window = 0;
  float scale = 0;
  const float *q = nullptr, *k = nullptr, *v = nullptr, *out = nullptr, *dout = nullptr;
  float *dq = nullptr, *dk = nullptr, *dv = nullptr;
  std::ptrdiff_t q_stride = 0, kv_stride = 0, out_stride = 0, dq_stride = 0, dkv_stride = 0;
  float* scratch = nullptr;  // attention_backward_scratch_floats(...)
};

struct AdamWCoefficients {
  float beta1, one_minus_beta1, beta2, one_minus_beta2, eps, grad_scale, decay, step_size, inv_sqrt_correction2;
};

// "rows" functions work on the rows they are given; callers offset the pointers.
struct KernelTable {
  const char* name;

  std::size_t (*product_scratch_floats)(int rows, int depth);
  void (*product)(const ProductTask& task);

  std::size_t (*attention_scratch_floats)(int head_dim, int num_positions);
  void (*attention)(const AttentionTask& task);
  std::size_t (*attention_backward_scratch_floats)(int num_positions, int head_dim);
  void (*attention_backward)(const AttentionBackwardTask& task);

  void (*add)(std::size_t count, const float* a, const float* b, float* out);
  // acc[i] += sum over rows, in order, of x(row, i).
  void (*sum_rows)(int rows, int width, const float* x, std::ptrdiff_t x_stride, float* acc);

  // inv_rms[r] = 1/sqrt(mean(x^2) + eps)
  void (*inv_rms)(int rows, int width, const float* x, std::ptrdiff_t x_stride, float eps, float* inv_rms);
  void (*rms_norm)(int rows, int width, const float* x, std::ptrdiff_t x_stride, const float* weight, float eps,
                   float* y, std::ptrdiff_t y_stride);
  void (*rms_norm_dweight)(int rows, int width, const float* x, std::ptrdiff_t x_stride, const float* dy,
                           std::ptrdiff_t dy_stride, const float* inv_rms, float* dweight);
  void (*rms_norm_dx)(int rows, int width, const float* x, std::ptrdiff_t x_stride, const float* weight,
                      const float* inv_rms, const float* dy, std::ptrdiff_t dy_stride, float* dx,
                      std::ptrdiff_t dx_stride, bool accumulate);

  void (*rope)(int heads, int head_dim, float* x, const float* cosines, const float* sines, bool inverse);
  void (*silu_mul)(int width, const float* gate, const float* up, float* out);
  void (*silu_mul_backward)(int width, const float* gate, const float* up, const float* dout, float* dgate, float* dup);

  float (*row_max)(int width, const float* x);
  float (*sum_exp)(int width, const float* x, float max);                                // sum of exp(x - max)
  void (*softmax_backward)(int width, float* x, float max, float log_sum, float scale);  // x = -scale * softmax(x)
  float (*expected_shifted)(int width, const float* x, float max, float log_sum);  // sum of softmax(x) * (x - max)
  void (*exp_scaled)(std::size_t count, const float* x, float shift, float scale, float* out);

  double (*sum_of_squares)(std::size_t count, const float* x);
  void (*adamw)(std::size_t count, const float* grad, float* param, float* m, float* v, const AdamWCoefficients& c);

  int fmas_per_step;                           // fused multiply-adds of 16 lanes in a step of fma_steps()
  float (*fma_steps)(std::int64_t num_steps);  // bench.inc
  float (*read_all)(std::size_t count, const float* x);
};

extern const KernelTable kPortableKernels;
#ifdef JIGSAW_KERNELS_X86
extern const KernelTable kAvx2Kernels;
extern const KernelTable kAvx512Kernels;
#endif

// The variant in use.
const KernelTable& kernel_table();

}  // namespace jigsaw::kernels
