// All arithmetic of models, on the CPU, reproducible to the bit (design.md section 3).
//
// The promise: each output is a function of its own row and the weights alone. It does not depend on how many rows come
// together, on threads, or on vector width: the AVX-512, AVX2 and portable variants give equal bits. So a token decoded
// in any batch has the very log-prob that the trainer computes for it.
//
// How: sums along a row are either one fused-multiply-add chain in index order (products, attention), or 16 interleaved
// chains (lane = index mod 16) closed by a fixed tree (norms, softmax, squares). exp and log are our own polynomials.
// The translation units are compiled with -ffp-contract=off; every fma is explicit.
//
// The variant is chosen once, by CPUID; the environment variable JIGSAW_KERNELS=avx512|avx2|portable forces one.
// All functions are thread-safe; they run on `lane` and return when done. Rows are row-major; strides count floats.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "core/lane.h"

namespace jigsaw::kernels {

inline constexpr int kPanel = 16;  // output columns of a weight panel; positions of a KV block

std::string_view variant_name();  // "avx512", "avx2" or "portable"
// Selects a variant by name for tests; false when unknown or not supported by this CPU. Not while kernels run.
bool select_variant(std::string_view name);

// ---- Matrix product ----------------------------------------------------------------------------------------------
// C(m, n) (+)= sum over k = 0..depth-1, in order, of A(m, k) * B(k, n);  n = 16 p + l
//   A(m, k) at a[m * a_row_stride + k * a_depth_stride]
//   B(k, n) at b[p * b_panel_stride + k * b_depth_stride + l]
//   C(m, n) at c[p * c_panel_stride + m * c_row_stride + l]
// Forward  Y = X W^T:   a = X (K, 1), b = panels of W (K*16, 16), c = Y (row N, panel 16).
// Backward dX = dY W:   see product_transposed. Backward dW: a = X (1, K), b = dY (16, N), c = panels (row 16, panel
// K*16). Only columns < num_columns are read of B and written of C. The chain starts at C when `accumulate`, else at 0;
// `bias` (may be null) is added once after the chain.
struct ProductArgs {
  int rows = 0, depth = 0, num_columns = 0;
  const float* a = nullptr;
  std::ptrdiff_t a_row_stride = 0, a_depth_stride = 1;
  const float* b = nullptr;
  std::ptrdiff_t b_panel_stride = 0, b_depth_stride = kPanel;
  float* c = nullptr;
  std::ptrdiff_t c_row_stride = 0, c_panel_stride = kPanel;
  const float* bias = nullptr;
  bool accumulate = false;
};
void product(Lane& lane, const ProductArgs& args);

// The panels of a weight matrix W[n][k], in one of two formats; the other pointer is null. bf16 values are widened in
// registers, which is exact: the same matrix gives the same bits in either format.
struct WeightPanels {
  WeightPanels(const float* panels) : fp32(panels) {}  // NOLINT: panels of floats are the daily case
  explicit WeightPanels(const std::uint32_t* pairs) : bf16(pairs) {}
  const float* fp32 = nullptr;          // [ceil(n/16)][k][16] (rollout/models/parameter_layout.h)
  const std::uint32_t* bf16 = nullptr;  // [ceil(n/16)][ceil(k/2)][16]; a word holds k even (low half) and k odd
};
// Words of a matrix in bf16.
std::size_t bf16_words(int k, int n);
// Rounds fp32 panels to nearest, ties to even. NaN stays NaN.
void round_to_bf16(Lane& lane, int k, int n, const float* panels, std::uint32_t* pairs);

// Y[rows][n] = X[rows][k] W^T (+ bias).
void linear(Lane& lane, int rows, int k, int n, const float* x, std::ptrdiff_t x_stride, WeightPanels w,
            const float* bias, float* y, std::ptrdiff_t y_stride);
// dX[rows][k] (+)= dY[rows][n] W : the chain runs over n in order. W is re-packed by 16 inputs in scratch.
void linear_backward_input(Lane& lane, int rows, int k, int n, const float* dy, std::ptrdiff_t dy_stride,
                           WeightPanels w, float* dx, std::ptrdiff_t dx_stride, bool accumulate);
// dW panels += dY^T X : the chain runs over the rows in order, starting at what dW holds.
void linear_backward_weight(Lane& lane, int rows, int k, int n, const float* x, std::ptrdiff_t x_stride,
                            const float* dy, std::ptrdiff_t dy_stride, float* dw_panels);
// dbias[n] += sum over rows, in order, of dy.
void bias_backward(Lane& lane, int rows, int n, const float* dy, std::ptrdiff_t dy_stride, float* dbias);

// ---- Row operations -----------------------------------------------------------------------------------------------
// y[r] = embedding row tokens[r]; the embedding is a matrix [V][hidden].
void embed(Lane& lane, std::span<const std::int32_t> tokens, int hidden, WeightPanels embedding, float* y);
// dpanels row tokens[r] += dy[r], rows in order.
void embed_backward(Lane& lane, std::span<const std::int32_t> tokens, int hidden, const float* dy, float* dpanels);

void add(Lane& lane, std::size_t count, const float* a, const float* b, float* out);  // out may alias a or b

// y = x * (1/sqrt(mean(x^2) + eps)) * weight for rows of `width`; row r of x at x + r * x_stride (y likewise). x may be
// y.
void rms_norm(Lane& lane, int rows, int width, const float* x, std::ptrdiff_t x_stride, const float* weight, float eps,
              float* y, std::ptrdiff_t y_stride);
// Recomputes the norm's scale. dx (=, or += when `accumulate`), dweight += sum over rows in order.
void rms_norm_backward(Lane& lane, int rows, int width, const float* x, std::ptrdiff_t x_stride, const float* weight,
                       float eps, const float* dy, std::ptrdiff_t dy_stride, float* dx, std::ptrdiff_t dx_stride,
                       bool accumulate, float* dweight);

// Rotates `heads` heads of head_dim in place: row r stands at position positions[r]; cos_sin is
// [max_position][2][head_dim/2] (cosines, then sines). `inverse` rotates back: the backward of the forward.
void rope(Lane& lane, int rows, int heads, int head_dim, float* x, std::ptrdiff_t x_stride,
          std::span<const std::int32_t> positions, const float* cos_sin, bool inverse);

// out[r][i] = silu(gate_up[r][i]) * gate_up[r][width + i].
void silu_mul(Lane& lane, int rows, int width, const float* gate_up, float* out);
void silu_mul_backward(Lane& lane, int rows, int width, const float* gate_up, const float* dout, float* dgate_up);

// ---- Attention over paged keys and values -----------------------------------------------------------------------
// A KV block holds 16 positions of one layer: for every kv head, keys [head_dim][16] and then values
// [16][head_dim rounded up to 16]. Floats of one block and layer:
std::size_t kv_block_floats(int num_kv_heads, int head_dim);

// Writes k and v of one row (position p of its sequence) into its block: slot p % 16.
struct KvWrite {
  float* block = nullptr;    // this layer's part of block p / 16
  int slot = 0;              // p % 16
  const float* k = nullptr;  // [num_kv_heads * head_dim]
  const float* v = nullptr;
};
void write_kv(Lane& lane, std::span<const KvWrite> writes, int num_kv_heads, int head_dim);

// Consecutive query rows of one sequence.
struct AttentionRows {
  const float* q = nullptr;  // row i at q + i * q_stride: [num_heads * head_dim]
  float* out = nullptr;      // row i at out + i * out_stride
  int num_rows = 0;
  int position_begin = 0;                // row i stands at position position_begin + i and sees all positions <= it
  const float* const* blocks = nullptr;  // this layer's part of block 0, 1, ... of the sequence
};
struct AttentionShape {
  int num_heads = 0, num_kv_heads = 0, head_dim = 0;
  int sliding_window = 0;  // 0 = none; else only positions > p - sliding_window
  float scale = 0;         // 1 / sqrt(head_dim)
};
// out = softmax(q k^T * scale) v. Query head h reads kv head h / (num_heads / num_kv_heads).
void attention(Lane& lane, const AttentionShape& shape, std::span<const AttentionRows> sequences,
               std::ptrdiff_t q_stride, std::ptrdiff_t out_stride);

// Backward for whole sequences, or for rows in their midst; recomputes the probabilities row by row. dq, dk, dv are
// written (not accumulated). k and v rows are given as in the forward pass: [num_kv_heads * head_dim].
struct AttentionBackwardRows {
  int num_rows = 0;
  const float *q = nullptr, *k = nullptr, *v = nullptr, *out = nullptr, *dout = nullptr;
  float *dq = nullptr, *dk = nullptr, *dv = nullptr;
  // Place in the list of a sequence (without a prefix itself) whose rows are the first positions of this one, before
  // its own; -1: none. Their dk and dv are the sums over all that they are a prefix of, in the list's order.
  int prefix = -1;
  // Rows of k, v, dk and dv before those of the queries: positions that these see as well. 0 with a prefix.
  int past = 0;
};
struct AttentionBackwardStrides {
  std::ptrdiff_t q = 0, kv = 0, out = 0, dq = 0, dkv = 0;  // dout uses `out`
};
void attention_backward(Lane& lane, const AttentionShape& shape, std::span<const AttentionBackwardRows> sequences,
                        const AttentionBackwardStrides& strides, float* prefix_scratch);
// Floats of prefix_scratch; 0 where no sequence has a prefix.
std::size_t attention_backward_prefix_floats(const AttentionShape& shape,
                                             std::span<const AttentionBackwardRows> sequences);

// ---- Log-softmax over the vocabulary -----------------------------------------------------------------------------
struct LogSoftmaxStats {
  float max = 0;      // of the row
  float log_sum = 0;  // log(sum(exp(x - max))): log_softmax(x)[i] = x[i] - max - log_sum
};
void log_softmax_stats(Lane& lane, int rows, int vocab, const float* logits, std::ptrdiff_t stride,
                       LogSoftmaxStats* stats);
inline float log_prob_of(float logit, const LogSoftmaxStats& stats) { return (logit - stats.max) - stats.log_sum; }
// logits[r][i] becomes dlogp[r] * ((i == target[r]) - softmax(logits[r])[i]).
void log_softmax_backward(Lane& lane, int rows, int vocab, float* logits, std::ptrdiff_t stride,
                          const LogSoftmaxStats* stats, std::span<const std::int32_t> targets, const float* dlogp);
// Entropy of softmax(logits[r]) in nats.
void entropy(Lane& lane, int rows, int vocab, const float* logits, std::ptrdiff_t stride, const LogSoftmaxStats* stats,
             float* out);
// out[i] = exp((x[i] - shift) * scale); what the sampler draws from. out may be x.
void exp_scaled(std::size_t count, const float* x, float shift, float scale, float* out);

// ---- Flat buffers (gradients, moments) ---------------------------------------------------------------------------
// Sum of squares in double: fixed blocks, summed in order; equal for any number of threads.
double sum_of_squares(Lane& lane, std::size_t count, const float* x);
// AdamW (Loshchilov & Hutter 2019) on [0, count): g = grad * grad_scale; moments; decoupled decay.
struct AdamWStep {
  float lr = 0, beta1 = 0.9f, beta2 = 0.999f, eps = 1e-8f, weight_decay = 0, grad_scale = 1;
  std::int64_t step = 1;  // from 1, for the bias correction
};
void adamw(Lane& lane, std::size_t count, const float* grad, float* param, float* m, float* v, const AdamWStep& step);

}  // namespace jigsaw::kernels
