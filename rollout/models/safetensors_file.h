// One safetensors file, memory-mapped, with its tensors as stored. Immutable; spans live as long as the file.
// Untrusted: open() checks that all tensors lie within the file and fill it without overlap.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <vector>

#include "core/result.h"
#include "rollout/models/mapped_file.h"
#include "rollout/models/safetensors_header.h"

namespace jigsaw {

class SafetensorsFile {
 public:
  static Result<SafetensorsFile> open(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  const std::vector<SafetensorsEntry>& entries() const { return entries_; }  // in the order of their bytes
  std::span<const std::byte> bytes(const SafetensorsEntry& entry) const;

 private:
  std::filesystem::path path_;
  MappedFile file_;
  std::vector<SafetensorsEntry> entries_;
  std::size_t data_begin_ = 0;
};

}  // namespace jigsaw
