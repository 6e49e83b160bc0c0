// A reward program that misbehaves on demand. How is said by its first argument, or by the completion it is asked
// about:
//   (else)   a good answer, which tells num_tokens of the request
//   hang | die | garbage | half (half a line, then the end) | flood | long-line | nan | wrong-id | twice
//   trickle  a good answer, byte by byte                once     a good answer, then the end
//   environment | descriptors | session | grandchild | stray | memory | limits | write | family | ..   see below
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

extern char** environ;

namespace {

void write_all(const std::string& text) {
  for (std::size_t position = 0; position < text.size();) {
    const ssize_t written = write(1, text.data() + position, text.size() - position);
    if (written < 0) _exit(1);
    position += static_cast<std::size_t>(written);
  }
}

[[noreturn]] void hang() {
  while (true) pause();
}

std::string after(const std::string& line, const std::string& key) { return line.substr(line.find(key) + key.size()); }

// The name of a behaviour that appears as the whole completion.
std::string completion_of(const std::string& line) {
  const std::string rest = after(line, "\"completion\":\"");
  return rest.substr(0, rest.find('"'));
}

std::string error_answer(const std::string& id, const std::string& text) {
  return "{\"id\":" + id + ",\"error\":\"" + text + "\"}\n";
}

std::string open_descriptors() {
  std::string list;
  DIR* folder = opendir("/proc/self/fd");
  while (const dirent* entry = readdir(folder)) {
    const int fd = std::atoi(entry->d_name);
    if (entry->d_name[0] != '.' && fd != dirfd(folder)) list += std::string(list.empty() ? "" : " ") + entry->d_name;
  }
  closedir(folder);
  return list;
}

std::string environment_names() {
  std::string list;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    list += (list.empty() ? "" : " ") + std::string(*entry, std::strchr(*entry, '=') - *entry);
  }
  return list;
}

std::string signal_state() {
  sigset_t mask;
  sigprocmask(SIG_BLOCK, nullptr, &mask);
  std::string blocked, ignored;
  for (int number = 1; number < 32; ++number) {
    struct sigaction action;
    if (sigismember(&mask, number) == 1) blocked += " " + std::to_string(number);
    if (sigaction(number, nullptr, &action) == 0 && action.sa_handler == SIG_IGN)
      ignored += " " + std::to_string(number);
  }
  return "blocked:" + blocked + " ignored:" + ignored;
}

std::string ignored_line;

void act(const std::string& how, const std::string& line) {
  const std::string id = std::to_string(std::strtoull(after(line, "{\"id\":").c_str(), nullptr, 10));
  const std::string answer =
      "{\"id\":" + id + ",\"reward\":" + std::to_string(std::atoi(after(line, "\"num_tokens\":").c_str())) + "}\n";
  if (how == "hang") hang();
  if (how == "die") {
    std::cerr << "Traceback: division by zero\n" << std::flush;
    _exit(3);
  }
  if (how == "garbage") return write_all("Loading model...\n");
  if (how == "half") {
    write_all("{\"id\":" + id + ",\"rew");
    _exit(0);
  }
  if (how == "flood") {
    while (true) write_all(std::string(65536, '\n'));
  }
  if (how == "long-line") {
    write_all(std::string(3 << 20, 'x'));
    hang();
  }
  if (how == "nan") return write_all("{\"id\":" + id + ",\"reward\":NaN}\n");
  if (how == "wrong-id") return write_all("{\"id\":" + id + "0,\"reward\":1}\n");
  if (how == "twice") return write_all(answer + answer);
  if (how == "once") {
    write_all(answer);
    _exit(0);
  }
  if (how == "trickle") {
    for (const char c : answer) write_all(std::string(1, c));
    return;
  }
  if (how == "environment") return write_all(error_answer(id, environment_names()));
  if (how == "descriptors") return write_all(error_answer(id, open_descriptors()));
  if (how == "signals") return write_all(error_answer(id, signal_state()));
  if (how == "session") {
    return write_all(error_answer(id, getsid(0) == getpid() && getpgid(0) == getpid() ? "own" : "shared"));
  }
  if (how == "grandchild") {  // which keeps our pipes open; we tell its pid
    const pid_t grandchild = fork();
    if (grandchild == 0) hang();
    return write_all("{\"id\":" + id + ",\"reward\":" + std::to_string(grandchild) + "}\n");
  }
  if (how == "stray" || how == "stray-die") {  // a grandchild in a session of its own, with our pipes
    int ready[2];
    if (pipe(ready) != 0) _exit(1);
    const pid_t grandchild = fork();
    if (grandchild == 0) {
      setsid();
      if (fork() > 0) _exit(0);  // and without a parent
      const pid_t self = getpid();
      if (write(ready[1], &self, sizeof self) != sizeof self) _exit(1);
      hang();
    }
    pid_t stray = 0;
    if (read(ready[0], &stray, sizeof stray) != sizeof stray) _exit(1);
    waitpid(grandchild, nullptr, 0);
    write_all("{\"id\":" + id + ",\"reward\":" + std::to_string(stray) + "}\n");
    // Not before it was seen: we are asked again for that.
    if (how == "stray-die" && std::getline(std::cin, ignored_line)) _exit(6);
    return;
  }
  if (how == "family") {  // more and more of them, each for ever
    while (true) {
      if (fork() == 0) hang();
      usleep(1000);
    }
  }
  if (how == "fork") {
    const pid_t child = fork();
    if (child == 0) _exit(0);
    if (child > 0) waitpid(child, nullptr, 0);
    std::thread([] {}).join();  // which is no process
    return write_all(error_answer(id, child > 0 ? "forked" : "refused"));
  }
  if (how == "leave") {
    const pid_t child = fork();
    if (child == 0) _exit(setsid() < 0 && setpgid(0, 0) < 0 ? 0 : 1);
    int state = 0;
    waitpid(child, &state, 0);
    return write_all(error_answer(id, WIFEXITED(state) && WEXITSTATUS(state) == 0 ? "refused" : "left"));
  }
  if (how == "privileges") {
    return write_all(error_answer(id, prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? "no new ones" : "as they come"));
  }
  if (how == "write") {  // 4 MB
    FILE* file = std::tmpfile();
    const std::string bytes(1 << 20, 'x');
    bool is_written = true;
    for (int i = 0; i < 4; ++i) is_written = is_written && std::fwrite(bytes.data(), bytes.size(), 1, file) == 1;
    std::fclose(file);
    return write_all(error_answer(id, is_written ? "written" : "not written"));
  }
  if (how == "grandchild-die") {
    if (fork() == 0) hang();
    _exit(4);
  }
  if (how == "memory") {  // 1 GB
    void* block = std::malloc(std::size_t{1} << 30);
    return write_all(error_answer(id, block == nullptr ? "refused" : "granted"));
  }
  if (how == "core") {
    struct rlimit limit {};
    getrlimit(RLIMIT_CORE, &limit);
    return write_all(error_answer(id, limit.rlim_max == 0 ? "none" : "some"));
  }
  if (how == "stderr") {  // more than a pipe holds
    for (int i = 0; i < 100; ++i) std::cerr << std::string(65536, '.');
    std::cerr << "the end\n" << std::flush;
  }
  write_all(answer);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string mode = argc > 1 ? argv[1] : "";
  if (mode == "die-at-start") return 5;
  if (mode == "banner") write_all("Welcome to judge 1.0\n");
  if (mode == "ignore-stdin") hang();
  if (mode == "close-stdin") {
    close(0);
    hang();
  }
  if (mode == "close-stdout") {
    close(1);
    hang();
  }
  std::string line;
  while (std::getline(std::cin, line)) act(mode.empty() || mode == "banner" ? completion_of(line) : mode, line);
  return 0;
}
