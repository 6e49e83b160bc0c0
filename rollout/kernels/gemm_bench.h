// How fast product() is on this machine, next to what the machine can do and what other libraries do. For `jigsaw bench
// gemm`.
// Blocks for about `seconds_each` per measurement, on the lane given; figures mean little while the cores are shared.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "core/lane.h"

namespace jigsaw::kernels {

// Y[m][n] = X[m][k] W^T.
struct GemmShape {
  int m = 0, k = 0, n = 0;
};

// The same product by another library, with W as it wants it: [n][k].
struct PeerProduct {
  std::string name;
  std::function<void(const GemmShape& shape, const float* x, const float* w, float* y)> run;
};

struct GemmTiming {
  GemmShape shape;
  double seconds = 0;  // of one product, the best of several batches
  double gflops = 0;   // 2 m k n / seconds
  double share_of_fma_peak = 0;
  // Bytes of W / seconds: at m = 1 bounded by memory, unless the caches hold the weights.
  double weight_bytes_per_s = 0;
  std::vector<double> peer_gflops;  // in the order of the peers
};

struct GemmBenchOptions {
  double seconds_each = 0.2;
  bool bf16_weights = false;  // ours; the peers' stay fp32
  // Weights are taken from copies that together exceed this, so that each product reads them from memory as a model's
  // layers do. 0 keeps one copy.
  std::size_t weight_bytes_min = std::size_t{256} << 20;
};

struct GemmBench {
  std::string variant;
  int num_threads = 0;
  double fma_peak_gflops = 0;   // fused multiply-adds in registers, all threads
  double read_bytes_per_s = 0;  // reading a large buffer, all threads
  std::vector<GemmTiming> timings;
};

GemmBench bench_gemm(Lane& lane, std::span<const GemmShape> shapes, std::span<const PeerProduct> peers,
                     const GemmBenchOptions& options);

}  // namespace jigsaw::kernels
