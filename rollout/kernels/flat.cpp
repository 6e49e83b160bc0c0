// Flat buffers: sums, squares, AdamW.
#include <algorithm>
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
