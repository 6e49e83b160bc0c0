#include "workers/trainer/torch_product.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

namespace jigsaw {

void torch_product(int num_threads, int m, int k, int n, const float* x, const float* w, float* y) {
  if (at::get_num_threads() != num_threads) at::set_num_threads(num_threads);
  const at::InferenceMode no_autograd;
  const at::Tensor x_MK = at::from_blob(const_cast<float*>(x), {m, k}, at::kFloat);
  const at::Tensor w_NK = at::from_blob(const_cast<float*>(w), {n, k}, at::kFloat);
  at::Tensor y_MN = at::from_blob(y, {m, n}, at::kFloat);
  at::mm_out(y_MN, x_MK, w_NK.t());
}

}  // namespace jigsaw
