// The tool of an external command, asked through a pool of processes (workers/commands/command_pool.h). Executor thread
// only; never waits.
#pragma once

#include "workers/commands/command_pool.h"
#include "workers/tools/tool_replies.h"

namespace jigsaw {

class CommandTool final : public Tool, private CommandAsker {
 public:
  // Starts the processes; fails if the first cannot be started. `clock` outlives the tool.
  static Result<std::unique_ptr<CommandTool>> create(const ToolConfig& config, std::unique_ptr<ChildLauncher> launcher,
                                                     const Clock& clock);

  Status submit(ToolRequest request) override;
  Result<std::vector<ToolReply>> poll() override;
  std::size_t num_outstanding() const override { return replies_.num_outstanding(); }
  std::string waiting_for() const override { return pool_ ? pool_->waiting_for() : ""; }

 private:
  explicit CommandTool(const ToolConfig& config) : replies_(config) {}
  Result<std::string> take_reply(std::uint64_t id, std::uint64_t wire_id, std::string_view line) override;
  Status take_failure(std::uint64_t id, const Error& reason) override { return replies_.refuse(id, reason); }
  // A failure of the run ends the processes.
  Status ended_by(Status status);

  ToolReplies replies_;
  std::unique_ptr<CommandPool> pool_;  // null after a failure of the run
};

// Of type command: checks the fields, finds the program and starts its processes.
Result<std::unique_ptr<Tool>> make_command_tool(const ToolConfig& config, const Clock& clock);

}  // namespace jigsaw
