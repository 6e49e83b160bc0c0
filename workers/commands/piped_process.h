// A ChildProcess that is one: a program run with pipes (spawn.h).
#pragma once

#include <vector>

#include "workers/commands/child_process.h"
#include "workers/commands/command_options.h"
#include "workers/commands/spawn.h"

namespace jigsaw {

// Processes that were killed and are still to be collected, which the kernel may delay.
class Graveyard {
 public:
  // Waits for the rest, up to 2 s in all; what is left then (a process stuck in the kernel) is init's.
  ~Graveyard();
  // Kills `pid`, a child of ours that has not been collected, and all that it has started (process_tree.h).
  void bury(pid_t pid);
  std::size_t num_waiting() const { return pids_.size(); }

 private:
  void collect();
  std::vector<pid_t> pids_;
};

class PipedLauncher final : public ChildLauncher {
 public:
  // A line of a process may have this many bytes; more make it fail. Bounds what a process can make us hold.
  static constexpr std::size_t kLineBytesMax = std::size_t{1} << 20;

  // How often a process's subprocesses are counted, and with it how long it may have more than it should.
  static constexpr std::chrono::milliseconds kCountEvery{100};

  // `options` less the program, which is argv[0]'s: at least that is there. Fails if there is no such program.
  static Result<std::unique_ptr<PipedLauncher>> create(SpawnOptions options);
  // Checks the options as well.
  static Result<std::unique_ptr<PipedLauncher>> create(const CommandOptions& options);
  Result<std::unique_ptr<ChildProcess>> launch() override;

 private:
  explicit PipedLauncher(SpawnOptions options) : options_(std::move(options)) {}

  SpawnOptions options_;
  Graveyard graveyard_;
};

}  // namespace jigsaw
