// System calls that a program and all it starts are refused, by the kernel (seccomp): for limits that no rlimit has.
#pragma once

namespace jigsaw {

// Made before a fork, installed after it.
class CallFilter {
 public:
  // No process besides itself (EPERM); threads are fine.
  void refuse_subprocesses() { refuses_subprocesses_ = true; }
  // No session or process group of its own (EPERM): what it starts stays in its process group.
  void refuse_groups() { refuses_groups_ = true; }
  bool is_empty() const { return !refuses_subprocesses_ && !refuses_groups_; }

  // Async-signal-safe. 0, or an errno. The process has set PR_SET_NO_NEW_PRIVS.
  int install() const;

 private:
  bool refuses_subprocesses_ = false, refuses_groups_ = false;
};

}  // namespace jigsaw
