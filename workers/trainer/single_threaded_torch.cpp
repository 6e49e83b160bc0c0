#include "workers/trainer/single_threaded_torch.h"

#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <unistd.h>

#include <cstdlib>
#include <utility>
#include <vector>

namespace jigsaw {
namespace {

// LibTorch reads the variable once, at the first operation of anyone in the process: hence when this library is loaded.
// Other threads may be reading the environment then, so setenv(), which may move and free it, is none to be used:
// `environ` points to a longer copy for a moment. Nobody else in this program writes the environment that late.
[[maybe_unused]] const bool kVectorWidthIsSettled = [] {
#if defined(__x86_64__)
  if (std::getenv("ATEN_CPU_CAPABILITY") != nullptr) return true;
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return true;
  static char setting[] = "ATEN_CPU_CAPABILITY=avx2";
  static auto* const longer = new std::vector<char*>{setting};  // never freed: a reader may still be in it
  for (char** entry = environ; *entry != nullptr; ++entry) longer->push_back(*entry);
  longer->push_back(nullptr);
  char** const before = std::exchange(environ, longer->data());
  (void)at::get_cpu_capability();
  environ = before;
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
