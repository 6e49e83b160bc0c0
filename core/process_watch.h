// Watching another process of this machine, be it a child or not: whether it has ended, and ending it. Over a pidfd, so
// that a process that was given the same pid later is never meant.
#pragma once

#include <string>

#include "core/result.h"

namespace jigsaw {

// Where pids mean the same: two processes with equal names see each other under their pids.
std::string machine_name();

class ProcessWatch {
 public:
  ProcessWatch() = default;  // of nobody
  // kNotFound when there is no such process (any more), kUnsupported where the kernel has no pidfds.
  static Result<ProcessWatch> open(int pid);
  ~ProcessWatch();
  ProcessWatch(ProcessWatch&& other) noexcept;
  ProcessWatch& operator=(ProcessWatch&& other) noexcept;

  bool has_process() const { return fd_ >= 0; }
  // False when it watches nobody.
  bool has_ended() const;
  // By a signal (SIGSTOP, Ctrl-Z), and not continued.
  bool is_stopped() const;
  // Ends the process, also a stopped one; nothing when it has ended or it watches nobody.
  void kill();

 private:
  ProcessWatch(int fd, int pid) : fd_(fd), pid_(pid) {}
  int fd_ = -1, pid_ = 0;
};

}  // namespace jigsaw
