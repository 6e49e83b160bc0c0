// The matrix products that a user might pick instead of ours, for `jigsaw bench gemm`: LibTorch's (MKL), and OpenBLAS's
// where the machine has libopenblas.so.0 (nothing else of Jigsaw needs it).
#pragma once

#include <vector>

#include "core/result.h"
#include "rollout/kernels/gemm_bench.h"

namespace jigsaw::cli {

Result<std::vector<kernels::PeerProduct>> peer_products(int num_threads);

}  // namespace jigsaw::cli
