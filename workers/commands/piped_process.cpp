#include "workers/commands/piped_process.h"

#include <signal.h>
#include <sys/wait.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <map>

#include "core/in_quotes.h"
#include "workers/commands/process_tree.h"

namespace jigsaw {
namespace {

constexpr std::size_t kStderrTailBytes = 2048;
// How much one process may hand over in one go, so that a talkative one does not starve the others.
constexpr std::size_t kReadBytesMax = std::size_t{1} << 21;
constexpr std::chrono::milliseconds kExitCheckInterval{20};  // where there is no pidfd

// write(2) that returns EPIPE instead of sending the signal, whatever the program's handler for it is.
ssize_t write_without_signal(int fd, const char* bytes, std::size_t size) {
  sigset_t pipe_signal, before, pending;
  sigemptyset(&pipe_signal);
  sigaddset(&pipe_signal, SIGPIPE);
  sigpending(&pending);
  const bool was_pending = sigismember(&pending, SIGPIPE) == 1;
  pthread_sigmask(SIG_BLOCK, &pipe_signal, &before);
  const ssize_t written = ::write(fd, bytes, size);
  const int error = errno;
  if (written < 0 && error == EPIPE && !was_pending) {
    const struct timespec none {};
    while (sigtimedwait(&pipe_signal, nullptr, &none) < 0 && errno == EINTR) {
    }
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  errno = error;
  return written;
}

std::string describe_exit(const siginfo_t& info) {
  if (info.si_code == CLD_EXITED) return "exited with status " + std::to_string(info.si_status);
  const char* name = sigabbrev_np(info.si_status);
  return "was killed by signal " + std::to_string(info.si_status) +
         (name != nullptr ? std::string(" (SIG") + name + ")" : "");
}

class PipedProcess final : public ChildProcess {
 public:
  PipedProcess(SpawnedProcess process, int subprocesses_max, Graveyard& graveyard)
      : process_(std::move(process)), subprocesses_max_(subprocesses_max), graveyard_(graveyard) {}
  ~PipedProcess() override {
    graveyard_.bury(process_.pid);
    for (const auto& [pid, handle] : strays_) kill_process(handle);
  }
  PipedProcess(const PipedProcess&) = delete;
  PipedProcess& operator=(const PipedProcess&) = delete;

  void send(std::string_view line) override {
    unsent_.append(line);
    unsent_ += '\n';
    write_some();
    if (!process_.to_stdin.is_open()) fail("closed its standard input");
  }

  void advance() override {
    // Looked at first, so that what it wrote before it ended is read below.
    siginfo_t info{};
    const bool has_ended = waitid(P_PID, static_cast<id_t>(process_.pid), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
                           info.si_pid == process_.pid;
    if (!has_ended) look_at_subprocesses();
    write_some();
    read_some(process_.from_stdout, [this](std::string_view bytes) { take_output(bytes); });
    read_some(process_.from_stderr, [this](std::string_view bytes) { take_stderr(bytes); });
    if (has_ended) {
      fail(describe_exit(info) + (unfinished_.empty() ? "" : " in the middle of the line " + in_quotes(unfinished_)));
    }
  }

  std::optional<std::string> read_line() override {
    if (lines_.empty()) return std::nullopt;
    std::string line = std::move(lines_.front());
    lines_.erase(lines_.begin());
    return line;
  }

  std::optional<std::string> failure() const override { return failure_; }
  bool has_read_all() const override { return unsent_.empty(); }
  std::string stderr_tail() const override { return stderr_tail_; }
  int pid() const override { return process_.pid; }

  void add_wakeups(Wakeups& wakeups) const override {
    if (failure_ || !lines_.empty()) {
      wakeups.sleep_at_most(std::chrono::milliseconds(0));
      return;
    }
    if (process_.from_stdout.is_open()) wakeups.files.push_back({process_.from_stdout.get(), POLLIN, 0});
    if (process_.from_stderr.is_open()) wakeups.files.push_back({process_.from_stderr.get(), POLLIN, 0});
    if (process_.to_stdin.is_open() && !unsent_.empty()) {
      wakeups.files.push_back({process_.to_stdin.get(), POLLOUT, 0});
    }
    if (subprocesses_max_ > 0) wakeups.sleep_at_most(PipedLauncher::kCountEvery);
    if (process_.exit_event.is_open()) {
      wakeups.files.push_back({process_.exit_event.get(), POLLIN, 0});
    } else {
      wakeups.sleep_at_most(kExitCheckInterval);
    }
  }

 private:
  // The first reason stands: what follows from it is not news.
  void fail(std::string reason) {
    if (!failure_) failure_ = std::move(reason);
  }

  // Too many end it. Those that have left the group are remembered: when it ends by itself, they go to another parent.
  void look_at_subprocesses() {
    const auto now = std::chrono::steady_clock::now();
    if (subprocesses_max_ == 0 || now < next_count_) return;
    next_count_ = now + PipedLauncher::kCountEvery;
    const auto limit = static_cast<std::size_t>(subprocesses_max_);
    std::map<pid_t, UniqueFd> strays;
    const std::vector<TreeProcess> below = processes_below(process_.pid, limit + 1);
    for (const TreeProcess& subprocess : below) {
      if (subprocess.group == process_.pid || subprocess.has_ended) continue;
      const auto known = strays_.find(subprocess.pid);
      strays[subprocess.pid] = known == strays_.end() ? open_process(subprocess) : std::move(known->second);
    }
    strays_ = std::move(strays);
    if (below.size() > limit) {
      fail("had more than " + std::to_string(limit) + " processes of its own (subprocesses)");
    }
  }

  void write_some() {
    std::size_t position = 0;
    while (process_.to_stdin.is_open() && position < unsent_.size()) {
      const ssize_t written =
          write_without_signal(process_.to_stdin.get(), unsent_.data() + position, unsent_.size() - position);
      if (written >= 0) {
        position += static_cast<std::size_t>(written);
      } else if (errno != EINTR) {
        // A closed end is no failure yet: the answer may be on its way.
        if (errno != EAGAIN && errno != EWOULDBLOCK) process_.to_stdin.reset();
        break;
      }
    }
    unsent_.erase(0, position);
  }

  template <typename Take>
  static void read_some(UniqueFd& fd, const Take& take) {
    std::array<char, 65536> buffer;
    std::size_t num_read = 0;
    while (fd.is_open() && num_read < kReadBytesMax) {
      const ssize_t size = ::read(fd.get(), buffer.data(), buffer.size());
      if (size > 0) {
        take(std::string_view(buffer.data(), static_cast<std::size_t>(size)));
        num_read += static_cast<std::size_t>(size);
      } else if (size == 0 || (errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK)) {
        fd.reset();  // the end; the process itself may go on
      } else if (errno != EINTR) {
        return;
      }
    }
  }

  void take_output(std::string_view bytes) {
    while (!failure_ && !bytes.empty()) {
      const std::size_t end = bytes.find('\n');
      unfinished_.append(bytes.substr(0, end));
      if (unfinished_.size() > PipedLauncher::kLineBytesMax) {
        fail("printed a line of over " + std::to_string(PipedLauncher::kLineBytesMax) + " bytes, which begins " +
             in_quotes(unfinished_));
        unfinished_.clear();
        return;
      }
      if (end == std::string_view::npos) return;
      if (lines_.size() == kLinesMax) {
        fail("printed more lines than it was asked for, such as " + in_quotes(unfinished_));
        return;
      }
      if (unfinished_.ends_with('\r')) unfinished_.pop_back();
      lines_.push_back(std::move(unfinished_));
      unfinished_.clear();
      bytes.remove_prefix(end + 1);
    }
  }

  void take_stderr(std::string_view bytes) {
    stderr_tail_.append(bytes.substr(bytes.size() - std::min(bytes.size(), kStderrTailBytes)));
    if (stderr_tail_.size() > kStderrTailBytes) stderr_tail_.erase(0, stderr_tail_.size() - kStderrTailBytes);
  }

  // The pool reads a line at a time and drops a process that says more than it was asked.
  static constexpr std::size_t kLinesMax = 16;

  SpawnedProcess process_;
  int subprocesses_max_;
  std::chrono::steady_clock::time_point next_count_;
  std::map<pid_t, UniqueFd> strays_;  // of its subprocesses, those in other process groups when last looked at
  Graveyard& graveyard_;
  std::string unsent_;      // to be written
  std::string unfinished_;  // read, without a newline yet
  std::vector<std::string> lines_;
  std::string stderr_tail_;
  std::optional<std::string> failure_;
};

}  // namespace

Graveyard::~Graveyard() {
  const auto give_up_at = std::chrono::steady_clock::now() + std::chrono::seconds(2);
  collect();
  while (!pids_.empty() && std::chrono::steady_clock::now() < give_up_at) {
    const struct timespec pause { 0, 1'000'000 };
    nanosleep(&pause, nullptr);
    collect();
  }
}

void Graveyard::bury(pid_t pid) {
  // As long as it is not collected, its id and that of its group cannot belong to anyone else.
  kill_tree(pid);
  pids_.push_back(pid);
  collect();
}

void Graveyard::collect() {
  std::erase_if(pids_, [](pid_t pid) {
    const pid_t collected = waitpid(pid, nullptr, WNOHANG);
    return collected == pid || (collected < 0 && errno != EINTR);
  });
}

Result<std::unique_ptr<PipedLauncher>> PipedLauncher::create(SpawnOptions options) {
  CHECK(!options.argv.empty());
  JIGSAW_ASSIGN_OR_RETURN(options.program, find_program(options.argv.front()));
  return std::unique_ptr<PipedLauncher>(new PipedLauncher(std::move(options)));
}

Result<std::unique_ptr<PipedLauncher>> PipedLauncher::create(const CommandOptions& options) {
  JIGSAW_RETURN_IF_ERROR(check_command_options(options));
  return create(SpawnOptions{.program = {},
                             .argv = options.argv,
                             .environment = options.environment,
                             .limits = {.memory_bytes_max = options.memory_bytes_max,
                                        .file_bytes_max = options.file_bytes_max,
                                        .subprocesses_max = options.subprocesses_max,
                                        .own_groups = options.own_groups}});
}

Result<std::unique_ptr<ChildProcess>> PipedLauncher::launch() {
  JIGSAW_ASSIGN_OR_RETURN(auto process, spawn_process(options_));
  return std::unique_ptr<ChildProcess>(
      std::make_unique<PipedProcess>(std::move(process), options_.limits.subprocesses_max, graveyard_));
}

}  // namespace jigsaw
