// The entry of a libFuzzer program; JIGSAW_FUZZ_TARGET names the target.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "core/log.h"
#include "tests/fuzz/fuzz_targets.h"

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  ::setenv("JIGSAW_LOG", "off", /*overwrite=*/0);  // what is refused is no news
  jigsaw::init_logging("fuzz", jigsaw::LogLevel::kError);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  jigsaw::fuzz::JIGSAW_FUZZ_TARGET({reinterpret_cast<const char*>(bytes), size});
  return 0;
}
