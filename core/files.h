// Whole files: read within a bound, and written so that they are there whole or not at all, whenever the process is
// killed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "core/result.h"

namespace jigsaw {

// A regular file of at most `num_bytes_max` bytes; kCorrupt when it is larger.
Result<std::string> read_text_file(const std::filesystem::path& path, std::uint64_t num_bytes_max);
// Writes beside `file`, syncs, and renames: readers see the old bytes or the new ones.
Status write_file_atomically(const std::filesystem::path& file, std::string_view bytes);
// Syncs every file in `folder` and the folder itself, then renames it to `target`, which must not exist.
Status publish_folder(const std::filesystem::path& folder, const std::filesystem::path& target);

// Held while a process uses a folder; the system lets go of it when the process ends, however that may be.
class FolderLock {
 public:
  // kUnavailable when another process holds it: the message has its pid.
  static Result<FolderLock> take(const std::filesystem::path& folder);
  FolderLock(FolderLock&& other) noexcept;
  FolderLock& operator=(FolderLock&&) = delete;
  ~FolderLock();

 private:
  explicit FolderLock(int fd) : fd_(fd) {}
  int fd_;
};

}  // namespace jigsaw
