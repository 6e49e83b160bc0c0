// The reward of an external command, asked through a pool of processes (workers/commands/command_pool.h). Executor
// thread only; never waits.
#pragma once

#include "workers/commands/command_pool.h"
#include "workers/rewards/reward_node.h"

namespace jigsaw {

class CommandNode final : public RewardNode, private CommandAsker {
 public:
  // Starts the processes; fails if the first cannot be started. `clock` outlives the node.
  static Result<std::unique_ptr<CommandNode>> create(const RewardConfig& config,
                                                     std::unique_ptr<ChildLauncher> launcher, const Clock& clock);

  Status submit(RewardRequest request) override;
  Status advance() override { return pool_->advance(); }
  void take_replies(std::vector<RewardReply>& replies) override;
  void add_wakeups(Wakeups& wakeups) const override { pool_->add_wakeups(wakeups); }
  std::string waiting_for() const override { return pool_->waiting_for(); }

 private:
  explicit CommandNode(const RewardConfig& config)
      : fail_on_error_(config.on_error == "fail"), error_value_(config.error_value) {}
  Result<std::string> take_reply(std::uint64_t id, std::uint64_t wire_id, std::string_view line) override;
  Status take_failure(std::uint64_t id, const Error& reason) override;

  bool fail_on_error_;
  double error_value_;
  std::vector<RewardReply> replies_;
  std::unique_ptr<CommandPool> pool_;
};

// Of type command: checks the fields, finds the program and starts its processes.
Result<std::unique_ptr<RewardNode>> make_command_node(const RewardConfig& config, const Clock& clock);

}  // namespace jigsaw
