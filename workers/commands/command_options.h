// An external program that speaks JSON lines, and what it is kept from.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

#include "core/result.h"

namespace jigsaw {

struct CommandOptions {
  std::vector<std::string> argv;  // `command` in a job file; no shell
  int processes = 1;
  std::chrono::milliseconds time_limit{10000};          // of one request
  std::chrono::milliseconds start_time_limit{0};        // added for the first request of a fresh process
  int retries = 1;                                      // when the process dies or talks nonsense; not when it is slow
  std::size_t memory_bytes_max = std::size_t{2} << 30;  // per process (RLIMIT_AS); 0 = no limit
  std::size_t file_bytes_max = std::size_t{1} << 30;    // of each file it writes (RLIMIT_FSIZE); 0 = no limit
  int subprocesses_max = 64;                            // that a process may have at a time; 0 = none
  bool own_groups = true;                               // they may have process groups and sessions of their own
  std::vector<std::string> environment;                 // names of variables that it gets besides PATH, HOME, LANG
};

// The fields, as a job file calls them.
std::vector<std::string> command_fields();
// Those that differ from their defaults.
std::vector<std::string> changed_command_fields(const CommandOptions& options);

// That there is a command, and that every number is within its bounds.
Status check_command_options(const CommandOptions& options);

}  // namespace jigsaw
