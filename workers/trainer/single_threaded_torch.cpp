#include "workers/trainer/single_threaded_torch.h"

#include <ATen/Parallel.h>
#include <ATen/Version.h>

#include <cstdlib>

namespace jigsaw {
namespace {

// LibTorch reads the variable once, at the first operation of anyone in the process. Hence before main(), when there is
// one thread; and it is taken back at once, so that the processes we start (reward commands) do not inherit it.
[[maybe_unused]] const bool kVectorWidthIsSettled = [] {
#if defined(__x86_64__)
  constexpr const char* kVariable = "ATEN_CPU_CAPABILITY";
  if (std::getenv(kVariable) != nullptr) return true;
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return true;
  setenv(kVariable, "avx2", 1);
  (void)at::get_cpu_capability();
  unsetenv(kVariable);
#endif
  return true;
}();

}  // namespace

SingleThreadedTorch::SingleThreadedTorch() : num_threads_before_(at::get_num_threads()) {
  if (num_threads_before_ != 1) at::set_num_threads(1);
}

SingleThreadedTorch::~SingleThreadedTorch() {
  if (num_threads_before_ != 1) at::set_num_threads(num_threads_before_);
}

}  // namespace jigsaw
