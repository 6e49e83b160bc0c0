// Starting a program with pipes to it, and nothing else of ours: no shell, no inherited descriptors, a small
// environment, limits on memory and file sizes, a session of its own.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <string>
#include <vector>

#include "core/result.h"
#include "workers/rewards/unique_fd.h"

namespace jigsaw {

struct SpawnOptions {
  std::string program;               // path of the file to execute, see find_program()
  std::vector<std::string> argv;     // with argv[0]
  std::size_t memory_bytes_max = 0;  // address space; 0 = no limit
};

struct SpawnedProcess {
  pid_t pid = -1;  // also its session and process group, which kill(-pid, ..) reaches as a whole
  UniqueFd to_stdin, from_stdout, from_stderr;  // non-blocking
  UniqueFd exit_event;  // readable once the process has ended; not open where the kernel has no pidfd (before 5.3)
};

// The file that `name` means: itself if it has a slash, else the first in PATH. An error says where was looked.
Result<std::string> find_program(const std::string& name);

// Returns once the program is running, or with the reason why it cannot. The program gets SIGKILL when the calling
// thread ends (PR_SET_PDEATHSIG), hence also when this process is killed; what it has started itself does not.
Result<SpawnedProcess> spawn_process(const SpawnOptions& options);

}  // namespace jigsaw
