// Requests to an external command: they are handed to a pool of persistent processes, one at a time each, and wait in a
// queue while all are busy. Executor thread only; never waits.
//
//   queued --handed to a free process--> in flight --good reply--> answered
//     ^                                     |
//     +--- the process died or broke the ---+--- tried too often, or over the time limit ---> failed
//          protocol, and may be tried again
//
// A process that fails is killed with its process group, and started again once a request needs it. Its slot then
// pauses after the second failure in a row, for at most kPauseMax, so that a broken command is not started in a tight
// loop. Whoever asks bounds the queue; each request leaves it after at most 1 + retries attempts.
#pragma once

#include <cstdint>
#include <deque>

#include "workers/commands/child_process.h"
#include "workers/commands/command_options.h"

namespace jigsaw {

// Whose requests a pool has. Called from within submit() and advance().
class CommandAsker {
 public:
  virtual ~CommandAsker() = default;
  // `line` came for request `id`, which was sent as `wire_id`. An error means that it breaks the protocol. A text is
  // the program's own word that it has no answer, and why. Empty: the answer is good, and kept.
  virtual Result<std::string> take_reply(std::uint64_t id, std::uint64_t wire_id, std::string_view line) = 0;
  // No answer comes, for a reason that names asker, command and cause. An error ends the run.
  virtual Status take_failure(std::uint64_t id, const Error& reason) = 0;
};

class CommandPool {
 public:
  static constexpr std::chrono::milliseconds kPauseMax{200};

  // Starts the processes; fails if the first cannot be started. `kind` and `name` are what the asker is called: a
  // reward 'judge'. `options` were checked. `clock` and `asker` outlive the pool.
  static Result<std::unique_ptr<CommandPool>> create(const std::string& kind, const std::string& name,
                                                     const CommandOptions& options,
                                                     std::unique_ptr<ChildLauncher> launcher, const Clock& clock,
                                                     CommandAsker& asker);

  // `fields` as request_line() takes them. `id` is not outstanding. An error is that of take_failure().
  Status submit(std::uint64_t id, std::string fields);
  // Does all that can be done without waiting. An error as for submit.
  Status advance();
  void add_wakeups(Wakeups& wakeups) const;
  // "reward 'judge': 3 requests at process 4711, oldest 2.1 s of 10 s". Empty when nothing is being waited for.
  std::string waiting_for() const;

 private:
  struct Asked {
    std::uint64_t id = 0;
    std::string fields;
    int num_attempts = 0;
  };
  struct InFlight {
    Asked asked;
    std::uint64_t wire_id = 0;
    Clock::TimePoint sent_at, deadline;
  };
  struct Slot {
    std::unique_ptr<ChildProcess> child;  // null until needed, after a failure
    bool is_fresh = true;                 // the child has answered nothing yet
    int num_failures = 0;                 // in a row
    Clock::TimePoint paused_until{};
    std::optional<InFlight> in_flight;
  };

  CommandPool(const std::string& kind, const std::string& name, const CommandOptions& options,
              std::unique_ptr<ChildLauncher> launcher, const Clock& clock, CommandAsker& asker);
  Status advance_slot(Slot& slot);
  Status take_line(Slot& slot, const std::string& line);
  Status hand_out();
  bool make_ready(Slot& slot, std::string& launch_failure);
  void note_failure(const Slot& slot, const std::string& reason);
  void discard(Slot& slot);
  // The request in flight at `slot` came to nothing.
  Status fail_attempt(Slot& slot, ErrorCode code, std::string reason, bool may_retry);
  Status give_up(const Asked& asked, ErrorCode code, const std::string& reason);

  std::string kind_, name_;  // "reward", "judge"
  std::string command_;      // "python3 judge.py"
  int retries_;
  std::chrono::milliseconds time_limit_, start_time_limit_;
  std::unique_ptr<ChildLauncher> launcher_;  // outlives the children in slots_
  const Clock& clock_;
  CommandAsker& asker_;
  std::vector<Slot> slots_;
  std::deque<Asked> queue_;
  std::uint64_t next_wire_id_ = 1;  // a new one for each attempt
  std::uint64_t num_failures_ = 0;  // of processes, ever
};

}  // namespace jigsaw
