#include "tests/e2e/jigsaw_process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

namespace jigsaw {
namespace {

namespace fs = std::filesystem;

constexpr int kPollMs = 2;

// Session of a process, out of /proc/PID/stat (after the name, which may hold anything, the fields are fixed).
int session_of(const fs::path& proc) {
  std::ifstream stream(proc / "stat");
  std::string text;
  std::getline(stream, text);
  const std::size_t close = text.rfind(')');
  if (close == std::string::npos) return -1;
  std::istringstream fields(text.substr(close + 1));
  std::string state;
  int parent = 0, group = 0, session = -1;
  fields >> state >> parent >> group >> session;
  return session;
}

// mpirun gives its ranks process groups of their own, but they stay in the session.
std::vector<int> processes_of(int session) {
  std::vector<int> processes;
  for (const auto& entry : fs::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    if (session_of(entry.path()) == session) processes.push_back(std::stoi(name));
  }
  return processes;
}

void kill_session(int session) {
  for (const int process : processes_of(session)) ::kill(process, SIGKILL);
}

void drain(int fd, std::string& text) {
  char bytes[65536];
  for (ssize_t count = 0; (count = ::read(fd, bytes, sizeof bytes)) > 0;)
    text.append(bytes, static_cast<std::size_t>(count));
}

// A rank that leaves because of one need not fail the run: the others go on without it.
void expect_no_report(const std::string& err) {
  for (const char* sign : {"Sanitizer: ", ": runtime error: "}) {
    EXPECT_EQ(err.find(sign), std::string::npos) << err;
  }
}

}  // namespace

TestFolder::TestFolder() {
  std::string pattern = (fs::path(testing::TempDir()) / "jigsaw-test-XXXXXX").string();
  path_ = ::mkdtemp(pattern.data());
}

TestFolder::~TestFolder() {
  std::error_code error;
  fs::remove_all(path_, error);
}

std::string TestFolder::file(const std::string& name, const std::string& text) const {
  std::ofstream(path_ / name) << text;
  return (path_ / name).string();
}

ProcessOutcome run_process(const std::vector<std::string>& argv, const Watch& watch, std::chrono::seconds limit) {
  int out[2], err[2];
  EXPECT_EQ(::pipe2(out, O_CLOEXEC), 0);
  EXPECT_EQ(::pipe2(err, O_CLOEXEC), 0);
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::setsid();
    ::dup2(::open("/dev/null", O_RDONLY), STDIN_FILENO);
    ::dup2(out[1], STDOUT_FILENO);
    ::dup2(err[1], STDERR_FILENO);
    std::vector<char*> arguments;
    for (const std::string& argument : argv) arguments.push_back(const_cast<char*>(argument.c_str()));
    arguments.push_back(nullptr);
    ::execvp(arguments[0], arguments.data());
    ::_exit(127);
  }
  ::close(out[1]);
  ::close(err[1]);
  ::fcntl(out[0], F_SETFL, O_NONBLOCK);
  ::fcntl(err[0], F_SETFL, O_NONBLOCK);
  ProcessOutcome outcome;
  const auto deadline = std::chrono::steady_clock::now() + limit;
  int status = 0;
  while (::waitpid(pid, &status, WNOHANG) == 0) {
    pollfd waiting[] = {{out[0], POLLIN, 0}, {err[0], POLLIN, 0}};
    ::poll(waiting, 2, kPollMs);
    drain(out[0], outcome.out);
    drain(err[0], outcome.err);
    const bool late = std::chrono::steady_clock::now() > deadline;
    if (late) ADD_FAILURE() << "still running after " << limit.count() << " s: " << outcome.err;
    if (late || (watch && watch(pid))) {
      kill_session(pid);
      ::waitpid(pid, &status, 0);
      break;
    }
  }
  kill_session(pid);  // stragglers of a dead mpirun
  drain(out[0], outcome.out);
  drain(err[0], outcome.err);
  ::close(out[0]);
  ::close(err[0]);
  expect_no_report(outcome.err);
  outcome.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return outcome;
}

ProcessOutcome run_jigsaw(std::vector<std::string> arguments, const Watch& watch) {
  arguments.insert(arguments.begin(), JIGSAW_PROGRAM);
  return run_process(arguments, watch);
}

std::string read_whole(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

int process_of_rank(int session, int rank) {
  const std::string wanted = '\0' + std::string("OMPI_COMM_WORLD_RANK=") + std::to_string(rank) + '\0';
  for (const int process : processes_of(session)) {
    const std::string environment = read_whole(fs::path("/proc") / std::to_string(process) / "environ");
    if (environment.find(wanted) != std::string::npos) return process;
  }
  return -1;
}

bool signal_rank(int session, int rank, int signal) {
  const int process = process_of_rank(session, rank);  // -1 would mean every process there is to kill()
  return process > 0 && ::kill(process, signal) == 0;
}

nlohmann::json last_json_line(const std::string& out) {
  std::istringstream stream(out);
  nlohmann::json last;
  for (std::string line; std::getline(stream, line);) {
    nlohmann::json parsed = nlohmann::json::parse(line, nullptr, false);
    if (parsed.is_structured()) last = std::move(parsed);
  }
  return last;
}

std::map<std::string, std::string> weights_hashes(const nlohmann::json& summary) {
  std::map<std::string, std::string> hashes;
  if (!summary.contains("pipelines")) return hashes;
  for (const auto& pipeline : summary["pipelines"]) hashes[pipeline["name"]] = pipeline["weights_hash"];
  return hashes;
}

int count_lines(const fs::path& file, const std::string& part) {
  std::ifstream stream(file);
  int lines = 0;
  for (std::string line; std::getline(stream, line);) lines += line.find(part) != std::string::npos ? 1 : 0;
  return lines;
}

}  // namespace jigsaw
