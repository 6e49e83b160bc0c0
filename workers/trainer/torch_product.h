// LibTorch's product, which is MKL's in its CPU builds: what `jigsaw bench gemm` shows beside ours. Nothing trains by
// it.
#pragma once

namespace jigsaw {

// Y[m][n] = X[m][k] W[n][k]^T on `num_threads` threads of LibTorch's own, as its Linear does. Its memory must not
// overlap.
void torch_product(int num_threads, int m, int k, int n, const float* x, const float* w, float* y);

}  // namespace jigsaw
