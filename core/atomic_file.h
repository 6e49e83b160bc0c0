// Writes a file so that a reader, or a crash at any moment, sees either the old file or the whole new one: a temporary
// file beside it, synced, then renamed. Move-only; whoever lets it go without commit() leaves no trace.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>

#include "core/result.h"

namespace jigsaw {

class AtomicFile {
 public:
  // `mode`: who may read it, as for chmod.
  static Result<AtomicFile> create(const std::filesystem::path& path, unsigned mode = 0644);
  ~AtomicFile();
  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&&) = delete;

  Status write(std::span<const std::byte> bytes);
  Status write(std::string_view text) { return write(std::as_bytes(std::span(text))); }
  // Syncs and puts the file in its place. Nothing may be written after.
  Status commit();

 private:
  AtomicFile(std::filesystem::path path, std::filesystem::path temporary, int fd);
  Error system_error(const char* what) const;

  std::filesystem::path path_, temporary_;
  int fd_ = -1;
};

}  // namespace jigsaw
