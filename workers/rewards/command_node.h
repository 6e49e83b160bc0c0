// The reward of an external command: requests are handed to a pool of persistent processes, one at a time each, and
// wait in a queue while all are busy. Executor thread only; never waits.
//
//   queued --handed to a free process--> in flight --good reply--> answered
//     ^                                     |
//     +--- the process died or broke the ---+--- tried too often, or over the time limit ---> failed:
//          protocol, and may be tried again                       answered with error_value, or the run ends
//
// A process that fails is killed with its process group, and started again once a request needs it. Its slot then
// pauses after the second failure in a row, for at most kPauseMax, so that a broken command is not started in a tight
// loop. The queue is bounded by PolledReward::kRequestsMax, and each request leaves it after at most 1 + retries
// attempts.
#pragma once

#include <deque>

#include "workers/rewards/child_process.h"

namespace jigsaw {

class CommandNode final : public RewardNode {
 public:
  static constexpr std::chrono::milliseconds kPauseMax{200};

  // Starts the processes; fails if the first cannot be started. `launcher` and `clock` as given to the constructor.
  static Result<std::unique_ptr<CommandNode>> create(const RewardConfig& config,
                                                     std::unique_ptr<ChildLauncher> launcher, const Clock& clock);

  Status submit(RewardRequest request) override;
  Status advance() override;
  void take_replies(std::vector<RewardReply>& replies) override;
  void add_wakeups(Wakeups& wakeups) const override;
  std::string waiting_for() const override;

 private:
  struct Asked {
    RewardRequest request;
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

  CommandNode(const RewardConfig& config, std::unique_ptr<ChildLauncher> launcher, const Clock& clock);
  Status advance_slot(Slot& slot);
  Status hand_out();
  bool make_ready(Slot& slot, std::string& launch_failure);
  void note_failure(const Slot& slot, const std::string& reason);
  void discard(Slot& slot);
  // The request in flight at `slot` came to nothing.
  Status fail_attempt(Slot& slot, ErrorCode code, std::string reason, bool may_retry);
  Status give_up(const Asked& asked, ErrorCode code, const std::string& reason);

  std::string title_;  // "reward 'judge' (python3 judge.py)"
  std::string name_;
  int retries_;
  std::chrono::milliseconds time_limit_, start_time_limit_;
  bool fail_on_error_;
  double error_value_;
  std::unique_ptr<ChildLauncher> launcher_;  // outlives the children in slots_
  const Clock& clock_;
  std::vector<Slot> slots_;
  std::deque<Asked> queue_;
  std::vector<RewardReply> replies_;
  std::uint64_t next_wire_id_ = 1;  // a new one for each attempt
  std::uint64_t num_failures_ = 0;  // of processes, ever
};

// Of type command: checks the fields, finds the program and starts its processes.
Result<std::unique_ptr<RewardNode>> make_command_node(const RewardConfig& config, const Clock& clock);

}  // namespace jigsaw
