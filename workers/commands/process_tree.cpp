#include "workers/commands/process_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace jigsaw {
namespace {

constexpr std::size_t kTreeMax = 100000;
// Each pass stops what it sees; what was started meanwhile is for the next one.
constexpr int kPassesMax = 100;

std::string read_small_file(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::string text;
  std::array<char, 4096> buffer;
  while (fd.is_open()) {
    const ssize_t size = ::read(fd.get(), buffer.data(), buffer.size());
    if (size <= 0) break;
    text.append(buffer.data(), static_cast<std::size_t>(size));
  }
  return text;
}

std::vector<pid_t> numbers_in(std::string_view text) {
  std::vector<pid_t> numbers;
  while (!text.empty()) {
    pid_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error == std::errc()) numbers.push_back(number);
    const std::size_t read = static_cast<std::size_t>(end - text.data());
    text.remove_prefix(std::max<std::size_t>(read, 1));
  }
  return numbers;
}

// Each thread has the children that it has started.
std::vector<pid_t> children_of(pid_t pid) {
  const std::string tasks = "/proc/" + std::to_string(pid) + "/task";
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir(tasks.c_str()), &::closedir);
  std::vector<pid_t> children;
  if (!folder) return children;
  while (const dirent* entry = ::readdir(folder.get())) {
    if (entry->d_name[0] == '.') continue;
    const auto some = numbers_in(read_small_file(tasks + "/" + entry->d_name + "/children"));
    children.insert(children.end(), some.begin(), some.end());
  }
  return children;
}

std::optional<TreeProcess> look_at(pid_t pid) {
  const std::string stat = read_small_file("/proc/" + std::to_string(pid) + "/stat");
  // "12 (name) S parent group ..": the name may hold anything.
  const std::size_t end = stat.rfind(')');
  if (end == std::string::npos || end + 4 > stat.size()) return std::nullopt;
  TreeProcess process{.pid = pid};
  process.has_ended = stat[end + 2] == 'Z' || stat[end + 2] == 'X';
  if (std::sscanf(stat.c_str() + end + 3, "%d %d", &process.parent, &process.group) != 2) return std::nullopt;
  return process;
}

}  // namespace

std::vector<TreeProcess> processes_below(pid_t root, std::size_t count_max) {
  std::vector<TreeProcess> found;
  std::vector<pid_t> to_visit = {root};
  while (!to_visit.empty() && found.size() < count_max) {
    const pid_t parent = to_visit.back();
    to_visit.pop_back();
    for (const pid_t child : children_of(parent)) {
      const auto process = look_at(child);
      if (!process || process->parent != parent || found.size() == count_max) continue;
      found.push_back(*process);
      to_visit.push_back(child);
    }
  }
  return found;
}

UniqueFd open_process(const TreeProcess& process) {
  UniqueFd handle(static_cast<int>(::syscall(SYS_pidfd_open, process.pid, 0u)));
  const auto now = look_at(process.pid);
  if (!now || now->parent != process.parent) handle.reset();
  return handle;
}

void kill_process(const UniqueFd& handle) {
  if (handle.is_open()) ::syscall(SYS_pidfd_send_signal, handle.get(), SIGKILL, nullptr, 0u);
}

void kill_tree(pid_t root) {
  // Stopped, the group starts nothing more, and its leader still collects orphans from below.
  ::kill(-root, SIGSTOP);
  for (int pass = 0; pass < kPassesMax; ++pass) {
    bool is_anyone_left = false;
    for (const TreeProcess& process : processes_below(root, kTreeMax)) {
      if (process.has_ended || process.group == root) continue;
      is_anyone_left = true;
      kill_process(open_process(process));
    }
    if (!is_anyone_left) break;
  }
  ::kill(-root, SIGKILL);
}

}  // namespace jigsaw
