#include "workers/rewards/sum_node.h"

namespace jigsaw {

SumNode::SumNode(std::string name, std::vector<Part> parts) : name_(std::move(name)), parts_(std::move(parts)) {
  CHECK(!parts_.empty());
}

Status SumNode::submit(RewardRequest request) {
  const auto [entry, is_new] = pending_.emplace(request.id, Pending{});
  CHECK(is_new);
  entry->second.replies.resize(parts_.size());
  entry->second.num_missing = parts_.size();
  for (const Part& part : parts_) {
    if (auto status = part.node->submit(request); !status) {
      return status.error().with_context("part of reward '" + name_ + "'");
    }
  }
  return ok_status();
}

Status SumNode::advance() {
  for (const Part& part : parts_) {
    if (auto status = part.node->advance(); !status) {
      return status.error().with_context("part of reward '" + name_ + "'");
    }
  }
  return ok_status();
}

void SumNode::take_replies(std::vector<RewardReply>& replies) {
  std::vector<RewardReply> taken;
  for (std::size_t index = 0; index < parts_.size(); ++index) {
    taken.clear();
    parts_[index].node->take_replies(taken);
    for (RewardReply& reply : taken) {
      const auto entry = pending_.find(reply.id);
      CHECK(entry != pending_.end() && !entry->second.replies[index]);
      entry->second.replies[index] = std::move(reply);
      if (--entry->second.num_missing > 0) continue;
      replies.push_back(combined(entry->first, entry->second));
      pending_.erase(entry);
    }
  }
}

RewardReply SumNode::combined(std::uint64_t id, const Pending& pending) const {
  RewardReply sum;
  sum.id = id;
  for (std::size_t index = 0; index < parts_.size(); ++index) {
    const RewardReply& reply = *pending.replies[index];
    sum.reward += parts_[index].weight * reply.reward;
    sum.parts.emplace_back(parts_[index].name, reply.reward);
    for (const auto& [name, value] : reply.parts) sum.parts.emplace_back(parts_[index].name + "/" + name, value);
    if (!reply.error.empty()) sum.error += (sum.error.empty() ? "" : "; ") + reply.error;
  }
  return sum;
}

void SumNode::add_wakeups(Wakeups& wakeups) const {
  for (const Part& part : parts_) part.node->add_wakeups(wakeups);
}

std::string SumNode::waiting_for() const {
  std::string text;
  for (const Part& part : parts_) {
    const std::string waiting = part.node->waiting_for();
    if (!waiting.empty()) text += (text.empty() ? "" : "; ") + waiting;
  }
  return text;
}

}  // namespace jigsaw
