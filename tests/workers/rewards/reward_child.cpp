// A reward program that misbehaves on demand. How is said by its first argument, or by the completion it is asked
// about:
//   (else)   a good answer, which tells num_tokens of the request
//   hang | die | garbage | half (half a line, then the end) | flood | long-line | nan | wrong-id | twice
//   trickle  a good answer, byte by byte                once     a good answer, then the end
//   environment | descriptors | session | grandchild | memory | file | stderr   see below
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <string>
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
  if (how == "grandchild-die") {
    if (fork() == 0) hang();
    _exit(4);
  }
  if (how == "memory") {  // 1 GB
    void* block = std::malloc(std::size_t{1} << 30);
    return write_all(error_answer(id, block == nullptr ? "refused" : "granted"));
  }
  if (how == "file") {
    struct rlimit limit {};
    getrlimit(RLIMIT_FSIZE, &limit);
    return write_all(error_answer(id, limit.rlim_cur == RLIM_INFINITY ? "unlimited" : "limited"));
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
