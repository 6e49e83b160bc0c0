#include "core/files.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <string>
#include <utility>

#include "core/atomic_file.h"

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

Result<std::string> read_text_file(const fs::path& path, std::uint64_t num_bytes_max) {
  std::error_code code;
  const auto num_bytes = fs::file_size(path, code);
  if (code) return Error(ErrorCode::kNotFound, path.string() + ": cannot be read: " + code.message());
  if (num_bytes > num_bytes_max) {
    return Error(ErrorCode::kCorrupt, path.string() + ": " + std::to_string(num_bytes) + " bytes, more than the " +
                                          std::to_string(num_bytes_max) + " that such a file may have");
  }
  std::string text(num_bytes, '\0');
  std::ifstream in(path, std::ios::binary);
  if (!in || !in.read(text.data(), static_cast<std::streamsize>(num_bytes))) {
    return Error(ErrorCode::kNotFound, path.string() + ": cannot be read");
  }
  return text;
}

Status write_file_atomically(const fs::path& file, std::string_view bytes) {
  JIGSAW_ASSIGN_OR_RETURN(AtomicFile atomic, AtomicFile::create(file));
  JIGSAW_RETURN_IF_ERROR(atomic.write(bytes));
  return atomic.commit();
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
