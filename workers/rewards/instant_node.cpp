#include "workers/rewards/instant_node.h"

#include <cmath>
#include <iterator>

namespace jigsaw {

InstantNode::InstantNode(const RewardConfig& config, std::unique_ptr<Scorer> scorer)
    : name_(reward_name(config)),
      fail_on_error_(config.on_error == "fail"),
      error_value_(config.error_value),
      scorer_(std::move(scorer)) {}

Status InstantNode::submit(RewardRequest request) {
  RewardReply reply;
  reply.id = request.id;
  if (const auto score = scorer_->score(request)) {
    CHECK(std::isfinite(*score));
    reply.reward = *score;
  } else {
    const Error error = score.error().with_context("reward '" + name_ + "'");
    if (fail_on_error_) return error;
    reply.reward = error_value_;
    reply.error = error.message();
  }
  replies_.push_back(std::move(reply));
  return ok_status();
}

void InstantNode::take_replies(std::vector<RewardReply>& replies) {
  std::move(replies_.begin(), replies_.end(), std::back_inserter(replies));
  replies_.clear();
}

}  // namespace jigsaw
