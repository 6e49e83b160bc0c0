#include "workers/commands/call_filter.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>

namespace jigsaw {
namespace {

#if defined(__x86_64__)
constexpr std::uint32_t kMachine = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr std::uint32_t kMachine = AUDIT_ARCH_AARCH64;
#else
constexpr std::uint32_t kMachine = 0;  // install() says ENOSYS
#endif
constexpr std::uint32_t kX32Calls = 0x40000000;  // the second set of call numbers of x86-64

// Filters jump forward only, so that each rule is complete in itself. No allocation: this runs after a fork.
class Program {
 public:
  void load(std::size_t offset) { add(BPF_LD | BPF_W | BPF_ABS, 0, 0, static_cast<std::uint32_t>(offset)); }
  void answer(std::uint32_t action) { add(BPF_RET | BPF_K, 0, 0, action); }
  void answer_call(long number, std::uint32_t action) {
    add(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, static_cast<std::uint32_t>(number));
    answer(action);
  }
  void add(std::uint16_t code, std::uint8_t if_true, std::uint8_t if_false, std::uint32_t value) {
    rules_[size_++] = {code, if_true, if_false, value};
  }
  sock_fprog view() { return {size_, rules_.data()}; }

 private:
  std::array<sock_filter, 32> rules_{};
  unsigned short size_ = 0;
};

constexpr std::uint32_t refused_with(int error) {
  return SECCOMP_RET_ERRNO | (static_cast<std::uint32_t>(error) & SECCOMP_RET_DATA);
}

}  // namespace

int CallFilter::install() const {
  if (is_empty()) return 0;
  if (kMachine == 0) return ENOSYS;
  Program program;
  // A program for another machine (32 bits) would call by other numbers.
  program.load(offsetof(seccomp_data, arch));
  program.add(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, kMachine);
  program.answer(SECCOMP_RET_KILL_PROCESS);
  program.load(offsetof(seccomp_data, nr));
  program.add(BPF_JMP | BPF_JGE | BPF_K, 0, 1, kX32Calls);
  program.answer(refused_with(ENOSYS));
  if (refuses_groups_) {
    program.answer_call(SYS_setsid, refused_with(EPERM));
    program.answer_call(SYS_setpgid, refused_with(EPERM));
  }
  if (refuses_subprocesses_) {
#ifdef SYS_fork
    program.answer_call(SYS_fork, refused_with(EPERM));
    program.answer_call(SYS_vfork, refused_with(EPERM));
#endif
    // Its flags lie in memory, where a filter cannot look; the C library then takes clone.
    program.answer_call(SYS_clone3, refused_with(ENOSYS));
    program.add(BPF_JMP | BPF_JEQ | BPF_K, 0, 3, SYS_clone);
    program.load(offsetof(seccomp_data, args));  // the lower half of the flags: these machines are little-endian
    program.add(BPF_JMP | BPF_JSET | BPF_K, 1, 0, CLONE_THREAD);
    program.answer(refused_with(EPERM));
  }
  program.answer(SECCOMP_RET_ALLOW);
  sock_fprog view = program.view();
  return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &view) == 0 ? 0 : errno;
}

}  // namespace jigsaw
