// Optimizer state on disk: a safetensors file of flat F32 tensors and of one I64, "num_steps".
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include "core/result.h"

namespace jigsaw {

// A tensor of the file and where its values are, or shall go.
template <typename Float>
struct NamedFloats {
  std::string name;
  std::span<Float> values;
};

// Atomic: see core/atomic_file.h.
Status write_optimizer_file(const std::filesystem::path& file, std::int64_t num_steps,
                            std::span<const NamedFloats<const float>> tensors);

// Fills `tensors`, which must be exactly what the file holds, and returns the number of steps. Bytes are untrusted;
// everything is checked before anything is filled.
Result<std::int64_t> read_optimizer_file(const std::filesystem::path& file,
                                         std::span<const NamedFloats<float>> tensors);

}  // namespace jigsaw
