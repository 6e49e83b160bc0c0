// One external process as a pool sees it (command_pool.h): a line in, a line out, until it fails. Nothing here
// ever waits. The real one is PipedProcess, tests have their own. Executor thread only.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/result.h"
#include "workers/commands/wakeups.h"

namespace jigsaw {

class ChildProcess {
 public:
  // Ends the process and all of its process group.
  virtual ~ChildProcess() = default;

  // Queues a line (without its newline) for the process to read.
  virtual void send(std::string_view line) = 0;
  // Moves bytes both ways as far as they go, and looks whether the process has ended.
  virtual void advance() = 0;
  // The next whole line that it printed, without its newline.
  virtual std::optional<std::string> read_line() = 0;
  // Why it can be of no more use, such as "exited with status 3"; empty while it can. Lines may be left to read.
  virtual std::optional<std::string> failure() const = 0;
  // Whether all that was sent has been taken by the process.
  virtual bool has_read_all() const = 0;
  // The end of what it wrote to stderr; may be empty.
  virtual std::string stderr_tail() const = 0;
  virtual int pid() const = 0;
  virtual void add_wakeups(Wakeups& wakeups) const = 0;
};

// Starts processes of one command, and outlives them.
class ChildLauncher {
 public:
  virtual ~ChildLauncher() = default;
  virtual Result<std::unique_ptr<ChildProcess>> launch() = 0;
};

}  // namespace jigsaw
