#include "examples/cli/peer_products.h"

#include <dlfcn.h>

#include "workers/trainer/torch_functions.h"

namespace jigsaw::cli {
namespace {

// Of cblas.h, which is not there at build time.
constexpr int kRowMajor = 101, kNoTranspose = 111, kTranspose = 112;
using CblasSgemm = void (*)(int order, int transpose_a, int transpose_b, int m, int n, int k, float alpha,
                            const float* a, int lda, const float* b, int ldb, float beta, float* c, int ldc);
using SetNumThreads = void (*)(int num_threads);

}  // namespace

Result<std::vector<kernels::PeerProduct>> peer_products(int num_threads) {
  JIGSAW_ASSIGN_OR_RETURN(const TorchFunctions* const torch, torch_functions());
  std::vector<kernels::PeerProduct> peers;
  peers.push_back(
      {"libtorch", [torch, num_threads](const kernels::GemmShape& shape, const float* x, const float* w, float* y) {
         torch->product(num_threads, shape.m, shape.k, shape.n, x, w, y);
       }});
  void* const library = ::dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);  // stays open: its threads live on
  if (library == nullptr) return peers;
  const auto sgemm = reinterpret_cast<CblasSgemm>(::dlsym(library, "cblas_sgemm"));
  const auto set_num_threads = reinterpret_cast<SetNumThreads>(::dlsym(library, "openblas_set_num_threads"));
  if (sgemm == nullptr || set_num_threads == nullptr) return peers;
  set_num_threads(num_threads);
  peers.push_back({"openblas", [sgemm](const kernels::GemmShape& shape, const float* x, const float* w, float* y) {
                     sgemm(kRowMajor, kNoTranspose, kTranspose, shape.m, shape.n, shape.k, 1.0f, x, shape.k, w, shape.k,
                           0.0f, y, shape.n);
                   }});
  return peers;
}

}  // namespace jigsaw::cli
