#include "core/process_watch.h"

#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>

namespace jigsaw {

std::string machine_name() {
  std::string boot;
  std::getline(std::ifstream("/proc/sys/kernel/random/boot_id"), boot);
  struct stat names {};
  if (boot.empty() || ::stat("/proc/self/ns/pid", &names) != 0) return "";
  return boot + "/" + std::to_string(names.st_ino);
}

Result<ProcessWatch> ProcessWatch::open(int pid) {
  const auto fd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
  if (fd >= 0) return ProcessWatch(fd, pid);
  return Error(errno == ESRCH ? ErrorCode::kNotFound : ErrorCode::kUnsupported,
               "cannot watch process " + std::to_string(pid) + ": " + std::strerror(errno));
}

ProcessWatch::~ProcessWatch() {
  if (fd_ >= 0) ::close(fd_);
}

ProcessWatch::ProcessWatch(ProcessWatch&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), pid_(std::exchange(other.pid_, 0)) {}

ProcessWatch& ProcessWatch::operator=(ProcessWatch&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(pid_, other.pid_);
  return *this;
}

bool ProcessWatch::has_ended() const {
  if (fd_ < 0) return false;
  pollfd ended{fd_, POLLIN, 0};
  return ::poll(&ended, 1, 0) > 0;
}

bool ProcessWatch::is_stopped() const {
  if (fd_ < 0) return false;
  std::ifstream file("/proc/" + std::to_string(pid_) + "/stat");
  std::string line;
  std::getline(file, line);
  // "pid (name) state ..", and a name may have anything in it.
  const std::size_t name_end = line.rfind(") ");
  const bool is_stopped = name_end != std::string::npos && name_end + 2 < line.size() && line[name_end + 2] == 'T';
  return is_stopped && !has_ended();  // else it was another process's, with the same number
}

void ProcessWatch::kill() {
  if (fd_ >= 0) (void)::syscall(SYS_pidfd_send_signal, fd_, SIGKILL, nullptr, 0);
}

}  // namespace jigsaw
