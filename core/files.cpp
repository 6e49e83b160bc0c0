#include "core/files.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

namespace jigsaw {
namespace {

namespace fs = std::filesystem;

Error file_error(const fs::path& file, const std::string& doing) {
  const int code = errno;
  return Error(code == ENOSPC || code == EDQUOT ? ErrorCode::kResourceExhausted : ErrorCode::kInternal,
               file.string() + ": cannot " + doing + ": " + std::strerror(code));
}

// Closes on every way out.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

Status sync_path(const fs::path& path) {
  const Descriptor descriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (descriptor.get() < 0) return file_error(path, "open");
  if (::fsync(descriptor.get()) != 0) return file_error(path, "sync");
  return ok_status();
}

}  // namespace

Status write_file_atomically(const fs::path& file, std::string_view bytes) {
  const fs::path temporary = file.string() + ".tmp";
  {
    const Descriptor descriptor(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    if (descriptor.get() < 0) return file_error(temporary, "create");
    for (std::size_t written = 0; written < bytes.size();) {
      const ssize_t count = ::write(descriptor.get(), bytes.data() + written, bytes.size() - written);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return file_error(temporary, "write");
      written += static_cast<std::size_t>(count);
    }
    if (::fsync(descriptor.get()) != 0) return file_error(temporary, "sync");
  }
  if (::rename(temporary.c_str(), file.c_str()) != 0) return file_error(file, "rename to this name");
  return sync_path(file.has_parent_path() ? file.parent_path() : fs::path("."));
}

Status publish_folder(const fs::path& folder, const fs::path& target) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) JIGSAW_RETURN_IF_ERROR(sync_path(entry.path()));
  JIGSAW_RETURN_IF_ERROR(sync_path(folder));
  if (fs::exists(target, error)) return Error(ErrorCode::kInvalidArgument, target.string() + ": is there already");
  if (::rename(folder.c_str(), target.c_str()) != 0) return file_error(target, "rename to this name");
  return sync_path(target.parent_path());
}

Result<FolderLock> FolderLock::take(const fs::path& folder) {
  const fs::path file = folder / ".lock";
  const int fd = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) return file_error(file, "open");
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    char holder[32] = {};
    const ssize_t length = ::read(fd, holder, sizeof holder - 1);
    ::close(fd);
    return Error(ErrorCode::kUnavailable, folder.string() + ": in use by another process (pid " +
                                              (length > 0 ? std::string(holder) : "unknown") + "); end it first");
  }
  const std::string pid = std::to_string(::getpid());
  FolderLock lock(fd);
  if (::ftruncate(fd, 0) != 0 || ::write(fd, pid.data(), pid.size()) < 0) return file_error(file, "write");
  return lock;
}

FolderLock::FolderLock(FolderLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

FolderLock::~FolderLock() {
  if (fd_ >= 0) ::close(fd_);
}

}  // namespace jigsaw
