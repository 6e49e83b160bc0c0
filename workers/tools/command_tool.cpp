#include "workers/tools/command_tool.h"

#include "workers/commands/piped_process.h"
#include "workers/tools/tool_protocol.h"

namespace jigsaw {

Result<std::unique_ptr<CommandTool>> CommandTool::create(const ToolConfig& config,
                                                         std::unique_ptr<ChildLauncher> launcher, const Clock& clock) {
  std::unique_ptr<CommandTool> tool(new CommandTool(config));
  JIGSAW_ASSIGN_OR_RETURN(tool->pool_,
                          CommandPool::create("tool", config.type, config.command, std::move(launcher), clock, *tool));
  return tool;
}

Status CommandTool::submit(ToolRequest request) {
  JIGSAW_RETURN_IF_ERROR(replies_.expect(request.id));
  return ended_by(pool_->submit(request.id, encode_tool_request(request)));
}

Result<std::vector<ToolReply>> CommandTool::poll() {
  if (pool_) JIGSAW_RETURN_IF_ERROR(ended_by(pool_->advance()));
  return replies_.take();
}

Result<std::string> CommandTool::take_reply(std::uint64_t id, std::uint64_t wire_id, std::string_view line) {
  JIGSAW_ASSIGN_OR_RETURN(ToolAnswer reply, decode_tool_reply(line, wire_id));
  if (reply.error.empty()) replies_.answer(id, std::move(reply.answer));
  return reply.error;
}

Status CommandTool::ended_by(Status status) {
  if (!status.ok()) pool_.reset();
  return status;
}

Result<std::unique_ptr<Tool>> make_command_tool(const ToolConfig& config, const Clock& clock) {
  auto launcher = PipedLauncher::create(config.command);
  if (!launcher) return launcher.error().with_context("tool '" + config.type + "'");
  JIGSAW_ASSIGN_OR_RETURN(auto tool, CommandTool::create(config, std::move(*launcher), clock));
  return std::unique_ptr<Tool>(std::move(tool));
}

}  // namespace jigsaw
