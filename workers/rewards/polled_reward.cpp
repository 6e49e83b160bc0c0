#include "workers/rewards/polled_reward.h"

namespace jigsaw {
namespace {

using std::chrono::milliseconds;

// Whole milliseconds that poll(2) may sleep: none left is 0, and a part of one counts as one, lest the loop spin.
milliseconds rounded_up(std::chrono::nanoseconds time) {
  return std::max(milliseconds(0), std::chrono::ceil<milliseconds>(time));
}

}  // namespace

PolledReward::PolledReward(std::string name, std::unique_ptr<RewardNode> root, const Clock& clock)
    : name_(std::move(name)), root_(std::move(root)), clock_(clock) {}

Status PolledReward::submit(RewardRequest request) {
  if (failure_) return *failure_;
  if (outstanding_.size() >= kRequestsMax) {
    return Error(ErrorCode::kResourceExhausted,
                 "reward '" + name_ + "': over " + std::to_string(kRequestsMax) + " requests at a time");
  }
  if (!outstanding_.insert(request.id).second) {
    return Error(ErrorCode::kInvalidArgument,
                 "reward '" + name_ + "': request " + std::to_string(request.id) + " is outstanding already");
  }
  if (auto status = root_->submit(std::move(request)); !status) return fail(status.error());
  return ok_status();
}

Result<std::vector<RewardReply>> PolledReward::poll(milliseconds wait) {
  if (failure_) return *failure_;
  const auto start = std::chrono::steady_clock::now();
  std::vector<RewardReply> replies;
  while (true) {
    if (auto status = root_->advance(); !status) return fail(status.error());
    root_->take_replies(replies);
    const milliseconds left = rounded_up(wait - (std::chrono::steady_clock::now() - start));
    if (!replies.empty() || outstanding_.empty() || left.count() <= 0) break;
    Wakeups wakeups;
    root_->add_wakeups(wakeups);
    milliseconds sleep = left;
    if (wakeups.at) sleep = std::min(sleep, rounded_up(*wakeups.at - clock_.now()));
    if (wakeups.sleep_max) sleep = std::min(sleep, *wakeups.sleep_max);
    // A signal ends the sleep early, which the next turn of the loop makes up for.
    ::poll(wakeups.files.data(), wakeups.files.size(), static_cast<int>(std::min<std::int64_t>(sleep.count(), 60'000)));
  }
  std::sort(replies.begin(), replies.end(), [](const RewardReply& a, const RewardReply& b) { return a.id < b.id; });
  for (const RewardReply& reply : replies) CHECK_MSG(outstanding_.erase(reply.id) == 1, "a request answered twice");
  return replies;
}

std::string PolledReward::waiting_for() const { return failure_ ? "" : root_->waiting_for(); }

Error PolledReward::fail(Error error) {
  failure_ = error;
  outstanding_.clear();
  root_.reset();  // ends its processes
  return error;
}

}  // namespace jigsaw
