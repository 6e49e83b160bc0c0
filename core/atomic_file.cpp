#include "core/atomic_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

namespace jigsaw {

AtomicFile::AtomicFile(std::filesystem::path path, std::filesystem::path temporary, int fd)
    : path_(std::move(path)), temporary_(std::move(temporary)), fd_(fd) {}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : path_(std::move(other.path_)), temporary_(std::move(other.temporary_)), fd_(std::exchange(other.fd_, -1)) {}

AtomicFile::~AtomicFile() {
  if (fd_ < 0) return;
  ::close(fd_);
  ::unlink(temporary_.c_str());
}

Error AtomicFile::system_error(const char* what) const {
  const ErrorCode code = errno == ENOSPC || errno == EDQUOT ? ErrorCode::kResourceExhausted : ErrorCode::kUnavailable;
  return Error(code, path_.string() + ": " + what + ": " + std::strerror(errno));
}

Result<AtomicFile> AtomicFile::create(const std::filesystem::path& path, unsigned mode) {
  std::filesystem::path temporary = path;
  temporary += ".tmp-" + std::to_string(::getpid());
  const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
  AtomicFile file(path, std::move(temporary), fd);
  if (fd < 0) return file.system_error("cannot be written");
  return file;
}

Status AtomicFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return system_error("cannot be written");
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return ok_status();
}

Status AtomicFile::commit() {
  if (::fsync(fd_) != 0) return system_error("cannot be synced to disk");
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) return system_error("cannot be put in place");
  ::close(std::exchange(fd_, -1));
  // The rename itself is durable once the folder is synced. A file system that cannot do so has done what it can.
  const std::filesystem::path folder = path_.has_parent_path() ? path_.parent_path() : ".";
  const int folder_fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder_fd >= 0) {
    ::fsync(folder_fd);
    ::close(folder_fd);
  }
  return ok_status();
}

}  // namespace jigsaw
