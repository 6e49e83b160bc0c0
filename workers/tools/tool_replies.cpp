#include "workers/tools/tool_replies.h"

#include <utility>

namespace jigsaw {

ToolReplies::ToolReplies(const ToolConfig& config)
    : title_("tool '" + config.type + "'"),
      fail_on_error_(config.on_error == "fail"),
      error_answer_(config.error_answer) {}

Status ToolReplies::expect(std::uint64_t id) {
  if (failure_) return *failure_;
  if (outstanding_.size() >= kRequestsMax) {
    return Error(ErrorCode::kResourceExhausted,
                 title_ + ": over " + std::to_string(kRequestsMax) + " requests at a time");
  }
  if (!outstanding_.insert(id).second) {
    return Error(ErrorCode::kInvalidArgument, title_ + ": request " + std::to_string(id) + " is outstanding already");
  }
  return ok_status();
}

void ToolReplies::answer(std::uint64_t id, std::string answer) {
  ready_[id] = {.id = id, .answer = std::move(answer), .error = {}};
}

Status ToolReplies::refuse(std::uint64_t id, const Error& reason) {
  if (!fail_on_error_) {
    ready_[id] = {.id = id, .answer = error_answer_, .error = reason.message()};
    return ok_status();
  }
  failure_ = reason;
  outstanding_.clear();
  ready_.clear();
  return reason;
}

Result<std::vector<ToolReply>> ToolReplies::take() {
  if (failure_) return *failure_;
  std::vector<ToolReply> replies;
  for (auto& [id, reply] : std::exchange(ready_, {})) {
    CHECK_MSG(outstanding_.erase(id) == 1, "a call answered twice");
    replies.push_back(std::move(reply));
  }
  return replies;
}

}  // namespace jigsaw
