// A file mapped read-only into memory. Move-only; may be read from several threads.
// Who truncates the file in place while it is mapped makes readers of the lost part die (SIGBUS): replace model files
// by rename, as save_hf_model does.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

#include "core/result.h"

namespace jigsaw {

class MappedFile {
 public:
  MappedFile() = default;  // maps nothing
  // Fails for what is not a regular, readable file. An empty file is fine and has no bytes.
  static Result<MappedFile> open(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;

  std::span<const std::byte> bytes() const { return {data_, size_}; }

 private:
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace jigsaw
