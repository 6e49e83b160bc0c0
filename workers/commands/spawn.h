// Starting a program with pipes to it, and nothing else of ours: no shell, no inherited descriptors, a small
// environment, no new privileges (set-user-ID does nothing), limits, a session of its own.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <string>
#include <vector>

#include "core/result.h"
#include "workers/commands/unique_fd.h"

namespace jigsaw {

// Of the program and of each process that it starts. The kernel sees to them, but for a count of subprocesses above 0:
// whoever spawns has to look (process_tree.h), since RLIMIT_NPROC counts all processes of a user, and none of root's.
struct ProcessLimits {
  std::size_t memory_bytes_max = 0;  // address space; 0 = no limit
  std::size_t file_bytes_max = 0;    // that it writes; 0 = no limit
  int subprocesses_max = 0;          // at a time, besides itself; 0 = it cannot start any
  bool own_groups = true;            // false: no session or process group of their own, so all end with its group
};

struct SpawnOptions {
  std::string program;                     // path of the file to execute, see find_program()
  std::vector<std::string> argv;           // with argv[0]
  std::vector<std::string> environment{};  // names that it gets of ours besides PATH, HOME and LANG
  ProcessLimits limits{};
};

struct SpawnedProcess {
  pid_t pid = -1;  // also its session and process group, which kill(-pid, ..) reaches as a whole
  UniqueFd to_stdin, from_stdout, from_stderr;  // non-blocking
  UniqueFd exit_event;  // readable once the process has ended; not open where the kernel has no pidfd (before 5.3)
};

// The file that `name` means: itself if it has a slash, else the first in PATH. An error says where was looked.
Result<std::string> find_program(const std::string& name);

// Returns once the program is running, or with the reason why it cannot. The program gets SIGKILL when the calling
// thread ends (PR_SET_PDEATHSIG), hence also when this process is killed; what it has started itself does not. It is
// the reaper of all below it (PR_SET_CHILD_SUBREAPER), so that they can be found.
Result<SpawnedProcess> spawn_process(const SpawnOptions& options);

}  // namespace jigsaw
