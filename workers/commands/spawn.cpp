#include "workers/commands/spawn.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "workers/commands/call_filter.h"

namespace jigsaw {
namespace {

constexpr const char* kDefaultPath = "/usr/local/bin:/usr/bin:/bin";
constexpr int kRequestPipeBytes = 1 << 20;  // what an unprivileged process may ask for

std::string variable(const char* name, const char* fallback) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0' ? value : fallback;
}

// What the program may see of our environment.
std::vector<std::string> child_environment(const std::vector<std::string>& names) {
  std::vector<std::string> list = {"PATH=" + variable("PATH", kDefaultPath), "HOME=" + variable("HOME", "/"),
                                   "LANG=" + variable("LANG", "C.UTF-8")};
  for (const std::string& name : names) {
    if (const char* value = std::getenv(name.c_str())) list.push_back(name + "=" + value);
  }
  return list;
}

std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> list;
  for (std::string& text : strings) list.push_back(text.data());
  list.push_back(nullptr);
  return list;
}

Error system_error(const std::string& what, int code) {
  const bool is_missing = code == ENOENT || code == ENOTDIR;
  return Error(is_missing ? ErrorCode::kNotFound : ErrorCode::kUnavailable, what + ": " + std::strerror(code));
}

struct Pipe {
  UniqueFd read_end, write_end;
};

// Both ends are closed on exec, so that no other process we start inherits them, and lie above the standard three,
// where the child's dup2() calls would else overwrite one another.
Result<Pipe> make_pipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return system_error("pipe2", errno);
  Pipe pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
  for (UniqueFd* end : {&pipe.read_end, &pipe.write_end}) {
    if (end->get() > 2) continue;
    const int moved = fcntl(end->get(), F_DUPFD_CLOEXEC, 3);
    if (moved < 0) return system_error("fcntl", errno);
    end->reset(moved);
  }
  return pipe;
}

// All that the child needs, laid out before the fork: the child must not allocate.
struct ChildPlan {
  const char* program;
  char* const* argv;
  char* const* environment;
  int stdin_fd, stdout_fd, stderr_fd, report_fd;
  pid_t parent;
  ProcessLimits limits;
  CallFilter filter;
};

void limit(int resource, rlim_t value) {
  struct rlimit now;
  if (getrlimit(static_cast<__rlimit_resource_t>(resource), &now) != 0) return;
  if (now.rlim_max != RLIM_INFINITY && now.rlim_max < value) value = now.rlim_max;  // raising it is not ours to do
  const struct rlimit wanted { value, value };
  setrlimit(static_cast<__rlimit_resource_t>(resource), &wanted);
}

// Runs in the child between fork and exec, with all signals blocked: only async-signal-safe calls from here on.
[[noreturn]] void run_child(const ChildPlan& plan) {
  const auto give_up = [&](int code) {
    [[maybe_unused]] const auto written = write(plan.report_fd, &code, sizeof code);
    _exit(127);
  };
  setsid();
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) give_up(errno);
  if (getppid() != plan.parent) _exit(127);  // it died before that call
  if (dup2(plan.stdin_fd, 0) < 0 || dup2(plan.stdout_fd, 1) < 0 || dup2(plan.stderr_fd, 2) < 0) give_up(errno);
  // Descriptors of other libraries may lack close-on-exec.
  constexpr unsigned kCloseOnExec = 1u << 2;  // CLOSE_RANGE_CLOEXEC
  if (syscall(SYS_close_range, 3u, ~0u, kCloseOnExec) != 0) {
    for (int fd = 3; fd < 65536; ++fd) fcntl(fd, F_SETFD, FD_CLOEXEC);
  }
  limit(RLIMIT_CORE, 0);
  if (plan.limits.file_bytes_max > 0) limit(RLIMIT_FSIZE, plan.limits.file_bytes_max);
  if (plan.limits.memory_bytes_max > 0) limit(RLIMIT_AS, plan.limits.memory_bytes_max);
  if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0) give_up(errno);
  // Ignored signals would stay ignored across exec. SIGKILL and SIGSTOP refuse, which is fine.
  struct sigaction standard;
  std::memset(&standard, 0, sizeof standard);
  standard.sa_handler = SIG_DFL;
  for (int number = 1; number < NSIG; ++number) sigaction(number, &standard, nullptr);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) give_up(errno);
  if (const int error = plan.filter.install(); error != 0) give_up(error);
  execve(plan.program, plan.argv, plan.environment);
  give_up(errno);
  std::abort();  // not reached
}

bool is_executable_file(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) && access(path.c_str(), X_OK) == 0;
}

}  // namespace

Result<std::string> find_program(const std::string& name) {
  if (name.empty()) return Error(ErrorCode::kInvalidArgument, "the command is empty");
  if (name.find('/') != std::string::npos) {
    struct stat info;
    if (stat(name.c_str(), &info) != 0) return system_error("'" + name + "' cannot be started", errno);
    if (!is_executable_file(name)) {
      return Error(ErrorCode::kInvalidArgument,
                   "'" + name + "' cannot be started: it is not an executable file (chmod +x?)");
    }
    return std::filesystem::absolute(name).string();  // links are kept: a program may look at its own name
  }
  const std::string path = variable("PATH", kDefaultPath);
  for (std::size_t begin = 0; begin <= path.size();) {
    const std::size_t end = std::min(path.find(':', begin), path.size());
    const std::string candidate = path.substr(begin, end - begin) + "/" + name;
    if (end > begin && is_executable_file(candidate)) return candidate;
    begin = end + 1;
  }
  return Error(ErrorCode::kNotFound, "'" + name + "' cannot be started: no such program in PATH (" + path + ")");
}

Result<SpawnedProcess> spawn_process(const SpawnOptions& options) {
  JIGSAW_ASSIGN_OR_RETURN(Pipe in, make_pipe());
  JIGSAW_ASSIGN_OR_RETURN(Pipe out, make_pipe());
  JIGSAW_ASSIGN_OR_RETURN(Pipe err, make_pipe());
  JIGSAW_ASSIGN_OR_RETURN(Pipe report, make_pipe());  // closed by a successful exec, else holds errno
  for (const UniqueFd* end : {&in.write_end, &out.read_end, &err.read_end}) {
    if (fcntl(end->get(), F_SETFL, O_NONBLOCK) != 0) return system_error("fcntl", errno);
  }
  // A request that fits the pipe is on its way at once, not with the next poll(). Best effort: users have a quota.
  [[maybe_unused]] const int pipe_bytes = fcntl(in.write_end.get(), F_SETPIPE_SZ, kRequestPipeBytes);
  std::vector<std::string> arguments = options.argv, environment = child_environment(options.environment);
  const std::vector<char*> argv = pointers(arguments), environ_list = pointers(environment);
  ChildPlan plan{.program = options.program.c_str(),
                 .argv = argv.data(),
                 .environment = environ_list.data(),
                 .stdin_fd = in.read_end.get(),
                 .stdout_fd = out.write_end.get(),
                 .stderr_fd = err.write_end.get(),
                 .report_fd = report.write_end.get(),
                 .parent = getpid(),
                 .limits = options.limits,
                 .filter = {}};
  if (options.limits.subprocesses_max == 0) plan.filter.refuse_subprocesses();
  if (!options.limits.own_groups) plan.filter.refuse_groups();

  // No handler of ours may run in the child.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const pid_t pid = fork();
  if (pid == 0) run_child(plan);
  const int fork_error = errno;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (pid < 0) return system_error("fork", fork_error);

  report.write_end.reset();
  int code = 0;
  ssize_t size = 0;
  do {
    size = read(report.read_end.get(), &code, sizeof code);
  } while (size < 0 && errno == EINTR);
  if (size == static_cast<ssize_t>(sizeof code)) {
    while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
    }
    const char* hint = code == ENOENT    ? " (is the program that its #! line names there?)"
                       : code == ENOEXEC ? " (a script needs a #! line)"
                                         : "";
    const Error error = system_error("'" + options.program + "' cannot be started", code);
    return Error(error.code(), error.message() + hint);
  }
  SpawnedProcess process;
  process.pid = pid;
  process.to_stdin = std::move(in.write_end);
  process.from_stdout = std::move(out.read_end);
  process.from_stderr = std::move(err.read_end);
  process.exit_event.reset(static_cast<int>(syscall(SYS_pidfd_open, pid, 0u)));  // close-on-exec by itself
  return process;
}

}  // namespace jigsaw
