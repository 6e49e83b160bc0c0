// The JSON header of a safetensors file, parsed without building a tree, so that a hostile header costs no more memory
// than the tensors it names.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace jigsaw {

struct SafetensorsEntry {
  std::string name;
  std::string type;  // "F32", "BF16", ... as written
  std::vector<std::int64_t> shape;
  std::uint64_t begin = 0, end = 0;  // bytes, from the start of the data
};

// Checks the header's own form: names stand once, types are known, shapes fit the byte ranges. Entries come in the
// order of their bytes and follow each other without gap or overlap from 0 on; `num_data_bytes` is where the last must
// end.
Result<std::vector<SafetensorsEntry>> parse_safetensors_header(std::string_view json, std::uint64_t num_data_bytes);

}  // namespace jigsaw
