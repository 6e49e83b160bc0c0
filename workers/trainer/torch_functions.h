// What there is of LibTorch in this program: the losses and their gradients, and its product. It stands in a library of
// its own, libjigsaw_torch.so, which is opened when the first loss is wanted. Loading LibTorch takes a process 0.2 to
// 0.3 s of CPU, and most processes never train: who starts mpirun, the controller, `jigsaw plan`, a worker before its
// first update. Without LibTorch in the program itself, its symbols cannot meet ours either.
#pragma once

#include <span>
#include <vector>

#include "core/result.h"
#include "workers/trainer/policy_loss.h"

namespace jigsaw {

struct PackLoss {
  double loss = 0;  // the pack's share of the batch loss
  LossCounts counts;
  std::vector<float> dlogp;  // gradient of the loss, one a log-prob; empty where the loss is not finite
};

struct TorchFunctions {
  // `logprobs`: of the completion tokens that were drawn, sample after sample. LibTorch does not see the model:
  // TrainingPass takes the gradient on.
  Result<PackLoss> (*differentiate)(const AlgorithmConfig& config, const LossDenominators& denominators,
                                    std::span<const float> logprobs, std::span<const LossSample> samples);
  // Y[m][n] = X[m][k] W[n][k]^T on `num_threads` threads of LibTorch's own, as its Linear does (MKL's in its CPU
  // builds): what `jigsaw bench gemm` shows beside ours. Nothing trains by it. The memory must not overlap.
  void (*product)(int num_threads, int m, int k, int n, const float* x, const float* w, float* y);
};

// Opens the library at the first call, on whichever thread; the same answer to all. It stays open.
Result<const TorchFunctions*> torch_functions();

}  // namespace jigsaw
