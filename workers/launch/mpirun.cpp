#include "workers/launch/mpirun.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <climits>
#include <cstring>
#include <thread>

namespace jigsaw {
namespace {

constexpr std::chrono::milliseconds kPoll{50};
constexpr int kCannotStart = 127;

// mpirun's process group is its own, so that a terminal's Ctrl-C reaches us alone and we can end the run in good order;
// but when we are killed, it is told to end as well.
Result<pid_t> spawn(std::vector<std::string> arguments) {
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) return Error(ErrorCode::kResourceExhausted, "cannot start mpirun: " + std::string(std::strerror(errno)));
  if (pid == 0) {
    ::setpgid(0, 0);
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (::getppid() != parent) ::_exit(1);  // it died before the line above
    ::execvp(argv[0], argv.data());
    ::_exit(kCannotStart);
  }
  return pid;
}

}  // namespace

std::string own_executable() {
  char path[PATH_MAX];
  const ssize_t length = ::readlink("/proc/self/exe", path, sizeof path - 1);
  return length > 0 ? std::string(path, static_cast<std::size_t>(length)) : "jigsaw";
}

Result<int> run_under_mpirun(int num_ranks, const std::vector<std::string>& argv, const std::atomic<bool>& stop,
                             const std::atomic<bool>& abort) {
  // Ranks share the cores by themselves (threads_per_worker), so MPI neither binds nor counts them; on one machine they
  // talk through shared memory and the loopback only.
  std::vector<std::string> arguments = {"mpirun",
                                        "-n",
                                        std::to_string(num_ranks),
                                        "--oversubscribe",
                                        "--enable-recovery",  // a rank that is killed does not end the others
                                        "--bind-to",
                                        "none",
                                        "--mca",
                                        "btl",
                                        "self,vader",
                                        "--mca",
                                        "btl_vader_single_copy_mechanism",
                                        "none",
                                        "--mca",
                                        "mpi_yield_when_idle",
                                        "1",
                                        "--mca",
                                        "orte_execute_quiet",
                                        "1",
                                        "--quiet"};
  if (::geteuid() == 0) arguments.push_back("--allow-run-as-root");
  arguments.insert(arguments.end(), argv.begin(), argv.end());
  JIGSAW_ASSIGN_OR_RETURN(const pid_t pid, spawn(arguments));
  bool told_to_stop = false, told_to_abort = false;
  while (true) {
    int status = 0;
    const pid_t ended = ::waitpid(pid, &status, WNOHANG);
    if (ended == pid && WIFEXITED(status) && WEXITSTATUS(status) == kCannotStart) {
      return Error(ErrorCode::kNotFound,
                   "cannot start mpirun: ./bootstrap.sh installs OpenMPI, and --workers 0 runs without it");
    }
    if (ended == pid) return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
    if (ended < 0 && errno != EINTR)
      return Error(ErrorCode::kInternal, "waiting for mpirun: " + std::string(std::strerror(errno)));
    if (stop.load() && !told_to_stop) {
      told_to_stop = true;
      ::kill(pid, SIGUSR1);
    }
    if (abort.load() && !told_to_abort) {
      told_to_abort = true;
      ::kill(pid, SIGTERM);
    }
    std::this_thread::sleep_for(kPoll);
  }
}

}  // namespace jigsaw
