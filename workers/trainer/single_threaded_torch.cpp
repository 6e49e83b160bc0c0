#include "workers/trainer/single_threaded_torch.h"

#include <ATen/Parallel.h>

#include <cstdlib>

namespace jigsaw {
namespace {

void settle_vector_width() {
  [[maybe_unused]] static const bool is_settled = [] {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) setenv("ATEN_CPU_CAPABILITY", "avx2", 0);
#endif
    return true;
  }();
}

}  // namespace

SingleThreadedTorch::SingleThreadedTorch() {
  settle_vector_width();  // before anything of LibTorch runs
  num_threads_before_ = at::get_num_threads();
  if (num_threads_before_ != 1) at::set_num_threads(1);
}

SingleThreadedTorch::~SingleThreadedTorch() {
  if (num_threads_before_ != 1) at::set_num_threads(num_threads_before_);
}

}  // namespace jigsaw
