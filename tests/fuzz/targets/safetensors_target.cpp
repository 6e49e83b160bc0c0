#include "rollout/models/safetensors_file.h"
#include "tests/fuzz/fuzz_targets.h"
#include "tests/fuzz/memory_file.h"

namespace jigsaw::fuzz {

void safetensors(std::string_view bytes) {
  const MemoryFile input(bytes);
  const auto file = SafetensorsFile::open(input.path());
  if (!file.ok()) return;
  // What was let pass can be read, and the tensors make up the file.
  std::size_t num_bytes = 0;
  std::string all;
  for (const SafetensorsEntry& entry : file->entries()) {
    const auto tensor = file->bytes(entry);
    all.append(reinterpret_cast<const char*>(tensor.data()), tensor.size());
    num_bytes += tensor.size();
  }
  CHECK(num_bytes == all.size() && num_bytes <= bytes.size() && bytes.ends_with(all));
}

}  // namespace jigsaw::fuzz
