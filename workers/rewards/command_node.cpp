#include "workers/rewards/command_node.h"

#include <iterator>

#include "workers/commands/piped_process.h"
#include "workers/rewards/command_protocol.h"

namespace jigsaw {

Result<std::unique_ptr<CommandNode>> CommandNode::create(const RewardConfig& config,
                                                         std::unique_ptr<ChildLauncher> launcher, const Clock& clock) {
  std::unique_ptr<CommandNode> node(new CommandNode(config));
  JIGSAW_ASSIGN_OR_RETURN(node->pool_, CommandPool::create("reward", reward_name(config), config.command,
                                                           std::move(launcher), clock, *node));
  return node;
}

Status CommandNode::submit(RewardRequest request) { return pool_->submit(request.id, encode_command_request(request)); }

Result<std::string> CommandNode::take_reply(std::uint64_t id, std::uint64_t wire_id, std::string_view line) {
  JIGSAW_ASSIGN_OR_RETURN(CommandReply reply, decode_command_reply(line, wire_id));
  if (reply.error.empty()) replies_.push_back({id, reply.reward, std::move(reply.parts), ""});
  return reply.error;
}

Status CommandNode::take_failure(std::uint64_t id, const Error& reason) {
  if (fail_on_error_) return reason;
  replies_.push_back({id, error_value_, {}, reason.message()});
  return ok_status();
}

void CommandNode::take_replies(std::vector<RewardReply>& replies) {
  std::move(replies_.begin(), replies_.end(), std::back_inserter(replies));
  replies_.clear();
}

Result<std::unique_ptr<RewardNode>> make_command_node(const RewardConfig& config, const Clock& clock) {
  auto launcher = PipedLauncher::create(config.command);
  if (!launcher) return launcher.error().with_context("reward '" + reward_name(config) + "'");
  JIGSAW_ASSIGN_OR_RETURN(auto node, CommandNode::create(config, std::move(*launcher), clock));
  return std::unique_ptr<RewardNode>(std::move(node));
}

}  // namespace jigsaw
