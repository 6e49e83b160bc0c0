// libjigsaw_torch.so's one symbol.
#include "workers/trainer/torch_functions.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <string>

#include "workers/trainer/single_threaded_torch.h"

namespace jigsaw {
namespace {

// Lanes compute at the same time: LibTorch's setting is 1 for every thread from the start, and no micro-batch changes
// it under another one.
const SingleThreadedTorch kSingleThreaded;

Result<PackLoss> differentiate(const AlgorithmConfig& config, const LossDenominators& denominators,
                               std::span<const float> logprobs, std::span<const LossSample> samples) {
  try {
    const SingleThreadedTorch single_threaded;
    PackLoss result;
    at::Tensor logprobs_N = at::empty({static_cast<std::int64_t>(logprobs.size())}, at::kFloat);
    std::ranges::copy(logprobs, logprobs_N.mutable_data_ptr<float>());
    logprobs_N.set_requires_grad(true);
    const at::Tensor loss = policy_loss(config, denominators, logprobs_N.to(at::kDouble), samples, result.counts);
    result.loss = loss.item<double>();
    if (!std::isfinite(result.loss)) return result;
    result.dlogp.resize(logprobs.size());
    if (logprobs.empty()) return result;
    loss.backward();
    std::copy_n(logprobs_N.grad().contiguous().const_data_ptr<float>(), logprobs.size(), result.dlogp.begin());
    return result;
  } catch (const std::exception& exception) {
    return Error(ErrorCode::kInternal, std::string("LibTorch: ") + exception.what());
  }
}

void product(int num_threads, int m, int k, int n, const float* x, const float* w, float* y) {
  if (at::get_num_threads() != num_threads) at::set_num_threads(num_threads);
  const at::InferenceMode no_autograd;
  const at::Tensor x_MK = at::from_blob(const_cast<float*>(x), {m, k}, at::kFloat);
  const at::Tensor w_NK = at::from_blob(const_cast<float*>(w), {n, k}, at::kFloat);
  at::Tensor y_MN = at::from_blob(y, {m, n}, at::kFloat);
  at::mm_out(y_MN, x_MK, w_NK.t());
}

}  // namespace

extern "C" __attribute__((visibility("default"))) const TorchFunctions* jigsaw_torch() {
  static constexpr TorchFunctions kFunctions{.differentiate = differentiate, .product = product};
  return &kFunctions;
}

}  // namespace jigsaw
