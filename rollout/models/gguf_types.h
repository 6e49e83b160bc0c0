// The element types of GGUF tensors: how many values a block holds and how many bytes it takes.
#pragma once

#include <cstdint>
#include <string_view>

namespace jigsaw {

// Those we can widen to fp32, by their number in the file.
enum class GgufType : std::uint32_t { kF32 = 0, kF16 = 1, kQ4_0 = 2, kQ4_1 = 3, kQ8_0 = 8, kBF16 = 30 };

struct GgufTypeInfo {
  std::uint32_t number = 0;
  std::string_view name;
  std::int64_t block_values = 1;
  std::int64_t block_bytes = 1;
};

// Null for a number that no known file uses. Knows more types than GgufType, so that `inspect` can name them.
const GgufTypeInfo* find_gguf_type(std::uint32_t number);

}  // namespace jigsaw
