// Flat buffers: sums, squares, AdamW.
#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

#include "core/check.h"
#include "rollout/kernels/kernels.h"
#include "rollout/kernels/parallel.h"
#include "rollout/kernels/variant_table.h"

namespace jigsaw::kernels {
namespace {

constexpr std::size_t kBlock = 16384;  // floats; part of what sum_of_squares() computes, so not to be tuned

// f(first, count) on blocks of the buffer.
template <class F>
void for_each_block(Lane& lane, std::size_t count, F&& f) {
  const auto range = [&](std::int64_t begin, std::int64_t end) {
    for (auto block = static_cast<std::size_t>(begin); block < static_cast<std::size_t>(end); ++block) {
      f(block * kBlock, std::min(kBlock, count - block * kBlock));
    }
  };
  for_each_range(lane, static_cast<std::int64_t>((count + kBlock - 1) / kBlock), kBlock, range);
}

// The bits of x rounded to bf16, in the upper half; the lower half is rubble.
std::uint32_t round_upper_half(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  const std::uint32_t rounded = bits + 0x7fffU + ((bits >> 16) & 1U);  // an infinity stays one
  const bool is_nan = (bits & 0x7fffffffU) > 0x7f800000U;
  return is_nan ? bits | 0x00400000U : rounded;
}

// base^exponent by squaring: the same bits with any C library.
double power(double base, std::int64_t exponent) {
  double result = 1;
  for (; exponent > 0; exponent >>= 1) {
    if ((exponent & 1) != 0) result *= base;
    base *= base;
  }
  return result;
}

}  // namespace

void add(Lane& lane, std::size_t count, const float* a, const float* b, float* out) {
  for_each_block(lane, count, [&](std::size_t first, std::size_t size) {
    kernel_table().add(size, a + first, b + first, out + first);
  });
}

std::size_t bf16_words(int k, int n) {
  return static_cast<std::size_t>((n + kPanel - 1) / kPanel) * kPanel * static_cast<std::size_t>((k + 1) / 2);
}

void round_to_bf16(Lane& lane, int k, int n, const float* panels, std::uint32_t* pairs) {
  const std::ptrdiff_t num_pairs = (k + 1) / 2;
  const auto range = [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t panel = begin; panel < end; ++panel) {
      const float* even = panels + panel * k * kPanel;
      std::uint32_t* out = pairs + panel * num_pairs * kPanel;
      for (int pair = 0; pair < k / 2; ++pair, even += 2 * kPanel, out += kPanel) {
        for (int i = 0; i < kPanel; ++i) {
          out[i] = round_upper_half(even[i]) >> 16 | (round_upper_half(even[kPanel + i]) & 0xffff0000U);
        }
      }
      if (k % 2 != 0) {
        for (int i = 0; i < kPanel; ++i) out[i] = round_upper_half(even[i]) >> 16;
      }
    }
  };
  for_each_range(lane, (n + kPanel - 1) / kPanel, static_cast<std::int64_t>(k) * kPanel, range);
}

double sum_of_squares(Lane& lane, std::size_t count, const float* x) {
  std::vector<double> sums((count + kBlock - 1) / kBlock);
  for_each_block(lane, count, [&](std::size_t first, std::size_t size) {
    sums[first / kBlock] = kernel_table().sum_of_squares(size, x + first);
  });
  double total = 0;
  for (const double sum : sums) total += sum;
  return total;
}

void adamw(Lane& lane, std::size_t count, const float* grad, float* param, float* m, float* v, const AdamWStep& step) {
  CHECK(step.step >= 1);
  const double correction1 = 1.0 - power(step.beta1, step.step);
  const double correction2 = 1.0 - power(step.beta2, step.step);
  AdamWCoefficients c;
  c.beta1 = step.beta1;
  c.one_minus_beta1 = static_cast<float>(1.0 - static_cast<double>(step.beta1));
  c.beta2 = step.beta2;
  c.one_minus_beta2 = static_cast<float>(1.0 - static_cast<double>(step.beta2));
  c.eps = step.eps;
  c.grad_scale = step.grad_scale;
  c.decay = static_cast<float>(1.0 - static_cast<double>(step.lr) * static_cast<double>(step.weight_decay));
  c.step_size = static_cast<float>(static_cast<double>(step.lr) / correction1);
  c.inv_sqrt_correction2 = static_cast<float>(1.0 / std::sqrt(correction2));
  for_each_block(lane, count, [&](std::size_t first, std::size_t size) {
    kernel_table().adamw(size, grad + first, param + first, m + first, v + first, c);
  });
}

}  // namespace jigsaw::kernels
