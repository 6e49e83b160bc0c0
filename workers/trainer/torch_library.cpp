#include <dlfcn.h>

#include <string>

#include "workers/trainer/torch_functions.h"

namespace jigsaw {
namespace {

Result<const TorchFunctions*> open_library() {
  // Looked for where the program's run path says (workers/trainer/CMakeLists.txt).
  void* const library = ::dlopen("libjigsaw_torch.so", RTLD_LAZY | RTLD_LOCAL);
  const auto entry =
      library == nullptr ? nullptr : reinterpret_cast<const TorchFunctions* (*)()>(::dlsym(library, "jigsaw_torch"));
  if (entry == nullptr) {
    const char* const problem = ::dlerror();
    return Error(
        ErrorCode::kNotFound,
        "cannot load LibTorch, without which nothing can be trained: " +
            std::string(problem != nullptr ? problem : "libjigsaw_torch.so is not ours") +
            "; libjigsaw_torch.so is installed with Jigsaw's libraries, and ./bootstrap.sh fetches what it needs");
  }
  return entry();
}

}  // namespace

Result<const TorchFunctions*> torch_functions() {
  static const Result<const TorchFunctions*> functions = open_library();
  return functions;
}

}  // namespace jigsaw
