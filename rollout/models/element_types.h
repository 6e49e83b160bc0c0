// The storage types of weights that can be widened to fp32, exactly for all but the quantised ones, whose values are
// computed as ggml does.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string_view>

namespace jigsaw {

enum class ElementType { kF32, kF16, kBF16, kQ8_0, kQ4_0, kQ4_1 };

// By the name in safetensors and GGUF files ("BF16", "Q4_0"); empty for all others.
std::optional<ElementType> find_element_type(std::string_view name);

// Bytes of `num_values` values; num_values is a multiple of the type's block (32 for the quantised ones).
std::size_t stored_bytes(ElementType type, std::size_t num_values);

// Widens values.size() values out of `bytes`, which holds exactly as many and need not be aligned.
void widen(ElementType type, std::span<const std::byte> bytes, std::span<float> values);

}  // namespace jigsaw
