#include "rollout/models/element_types.h"

#include <bit>
#include <cstdint>
#include <cstring>

#include "core/check.h"

namespace jigsaw {
namespace {

constexpr std::size_t kBlockValues = 32;

template <typename T>
T load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof(T));
  return value;
}

float from_bf16(std::uint16_t bits) { return std::bit_cast<float>(std::uint32_t{bits} << 16); }

// Half to single precision without a branch, so that the loop vectorises: shift exponent and mantissa into place,
// multiply by 2^112 to move the exponent's bias (exact, and right for subnormals), then mend infinities and NaN.
float from_f16(std::uint16_t bits) {
  const std::uint32_t sign = (std::uint32_t{bits} & 0x8000u) << 16;
  const std::uint32_t magnitude = (std::uint32_t{bits} & 0x7FFFu) << 13;
  const std::uint32_t scaled = std::bit_cast<std::uint32_t>(std::bit_cast<float>(magnitude) * 0x1.0p112f);
  const std::uint32_t special = (bits & 0x7C00u) == 0x7C00u ? 0x7F800000u : 0u;
  return std::bit_cast<float>(sign | scaled | special);
}

// Blocks of 32 values. The products below are in ggml's order, so that values agree with it to the bit.
void widen_q8_0(const std::byte* block, float* values) {  // scale, 32 signed bytes
  const float scale = from_f16(load<std::uint16_t>(block));
  for (std::size_t i = 0; i < kBlockValues; ++i) {
    values[i] = static_cast<float>(static_cast<std::int8_t>(block[2 + i])) * scale;
  }
}

void widen_q4_0(const std::byte* block, float* values) {  // scale, 16 bytes: value i low, value i + 16 high
  const float scale = from_f16(load<std::uint16_t>(block));
  for (std::size_t i = 0; i < kBlockValues / 2; ++i) {
    const int pair = static_cast<int>(block[2 + i]);
    values[i] = static_cast<float>((pair & 15) - 8) * scale;
    values[i + kBlockValues / 2] = static_cast<float>((pair >> 4) - 8) * scale;
  }
}

void widen_q4_1(const std::byte* block, float* values) {  // scale, minimum, 16 bytes as above
  const float scale = from_f16(load<std::uint16_t>(block)), minimum = from_f16(load<std::uint16_t>(block + 2));
  for (std::size_t i = 0; i < kBlockValues / 2; ++i) {
    const int pair = static_cast<int>(block[4 + i]);
    values[i] = static_cast<float>(pair & 15) * scale + minimum;
    values[i + kBlockValues / 2] = static_cast<float>(pair >> 4) * scale + minimum;
  }
}

std::size_t block_bytes(ElementType type) {
  switch (type) {
    case ElementType::kQ8_0: return 34;
    case ElementType::kQ4_0: return 18;
    case ElementType::kQ4_1: return 20;
    default: return 0;
  }
}

template <void (*WidenBlock)(const std::byte*, float*)>
void widen_blocks(const std::byte* from, std::size_t bytes_each, std::span<float> values) {
  for (std::size_t at = 0; at < values.size(); at += kBlockValues, from += bytes_each) {
    WidenBlock(from, values.data() + at);
  }
}

}  // namespace

std::optional<ElementType> find_element_type(std::string_view name) {
  if (name == "F32") return ElementType::kF32;
  if (name == "F16") return ElementType::kF16;
  if (name == "BF16") return ElementType::kBF16;
  if (name == "Q8_0") return ElementType::kQ8_0;
  if (name == "Q4_0") return ElementType::kQ4_0;
  if (name == "Q4_1") return ElementType::kQ4_1;
  return std::nullopt;
}

std::size_t stored_bytes(ElementType type, std::size_t num_values) {
  switch (type) {
    case ElementType::kF32: return num_values * 4;
    case ElementType::kF16:
    case ElementType::kBF16: return num_values * 2;
    default: return num_values / kBlockValues * block_bytes(type);
  }
}

void widen(ElementType type, std::span<const std::byte> bytes, std::span<float> values) {
  CHECK(bytes.size() == stored_bytes(type, values.size()));
  const std::byte* from = bytes.data();
  switch (type) {
    case ElementType::kF32: std::memcpy(values.data(), from, bytes.size()); return;
    case ElementType::kF16:
      for (std::size_t i = 0; i < values.size(); ++i) values[i] = from_f16(load<std::uint16_t>(from + 2 * i));
      return;
    case ElementType::kBF16:
      for (std::size_t i = 0; i < values.size(); ++i) values[i] = from_bf16(load<std::uint16_t>(from + 2 * i));
      return;
    case ElementType::kQ8_0: return widen_blocks<widen_q8_0>(from, block_bytes(type), values);
    case ElementType::kQ4_0: return widen_blocks<widen_q4_0>(from, block_bytes(type), values);
    case ElementType::kQ4_1: return widen_blocks<widen_q4_1>(from, block_bytes(type), values);
  }
}

}  // namespace jigsaw
