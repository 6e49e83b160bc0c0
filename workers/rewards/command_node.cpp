#include "workers/rewards/command_node.h"

#include <fmt/format.h>

#include <bit>
#include <iterator>

#include "core/log.h"
#include "workers/rewards/command_protocol.h"
#include "workers/rewards/in_quotes.h"
#include "workers/rewards/piped_process.h"

namespace jigsaw {
namespace {

using std::chrono::milliseconds;

constexpr int kProcessesMax = 256;
constexpr int kSubprocessesMax = 4096;
constexpr milliseconds kFirstPause{10};

double seconds(std::chrono::nanoseconds time) { return std::chrono::duration<double>(time).count(); }

std::string joined_command(const std::vector<std::string>& argv) {
  std::string text;
  for (const std::string& argument : argv) text += (text.empty() ? "" : " ") + argument;
  return text.size() > 200 ? text.substr(0, 200) + "..." : text;
}

std::string with_stderr(const ChildProcess& child) {
  const std::string tail = child.stderr_tail();
  if (tail.empty()) return "";
  constexpr std::size_t kBytesShown = 120;  // the end of it tells most
  return "; stderr ends " + in_quotes(tail.size() > kBytesShown ? tail.substr(tail.size() - kBytesShown) : tail);
}

}  // namespace

CommandNode::CommandNode(const RewardConfig& config, std::unique_ptr<ChildLauncher> launcher, const Clock& clock)
    : title_("reward '" + reward_name(config) + "' (" + joined_command(config.command) + ")"),
      name_(reward_name(config)),
      retries_(config.retries),
      time_limit_(config.time_limit),
      start_time_limit_(config.start_time_limit),
      fail_on_error_(config.on_error == "fail"),
      error_value_(config.error_value),
      launcher_(std::move(launcher)),
      clock_(clock),
      slots_(static_cast<std::size_t>(config.processes)) {}

Result<std::unique_ptr<CommandNode>> CommandNode::create(const RewardConfig& config,
                                                         std::unique_ptr<ChildLauncher> launcher, const Clock& clock) {
  std::unique_ptr<CommandNode> node(new CommandNode(config, std::move(launcher), clock));
  for (Slot& slot : node->slots_) {
    auto child = node->launcher_->launch();
    if (!child) return child.error().with_context(node->title_);
    slot.child = std::move(*child);
  }
  return node;
}

Status CommandNode::submit(RewardRequest request) {
  queue_.push_back({std::move(request), 0});
  return hand_out();
}

Status CommandNode::advance() {
  for (Slot& slot : slots_) JIGSAW_RETURN_IF_ERROR(advance_slot(slot));
  return hand_out();
}

Status CommandNode::advance_slot(Slot& slot) {
  if (!slot.child) return ok_status();
  slot.child->advance();
  const auto line = slot.child->read_line();
  const auto failure = slot.child->failure();
  if (!slot.in_flight) {
    if (!line && !failure) return ok_status();
    note_failure(slot, (line ? "spoke unasked: " + in_quotes(*line) : *failure) + with_stderr(*slot.child));
    discard(slot);
    return ok_status();
  }
  if (line) {
    auto reply = decode_command_reply(*line, slot.in_flight->wire_id);
    if (!reply) return fail_attempt(slot, ErrorCode::kCorrupt, reply.error().message(), true);
    if (!slot.child->has_read_all()) {
      return fail_attempt(slot, ErrorCode::kCorrupt, "answered before it had read the request", true);
    }
    const Asked asked = std::move(slot.in_flight->asked);
    slot.in_flight.reset();
    slot.is_fresh = false;
    slot.num_failures = 0;
    if (!reply->error.empty())
      return give_up(asked, ErrorCode::kInvalidArgument, "the program says: " + in_quotes(reply->error));
    replies_.push_back({asked.request.id, reply->reward, std::move(reply->parts), ""});
    return ok_status();
  }
  if (failure) return fail_attempt(slot, ErrorCode::kUnavailable, *failure, true);
  if (clock_.now() >= slot.in_flight->deadline) {
    // The request is the likely culprit, so another process would only be kept busy as well.
    const double limit = seconds(slot.in_flight->deadline - slot.in_flight->sent_at);
    return fail_attempt(slot, ErrorCode::kTimeout,
                        fmt::format("gave no answer within the time limit of {:.3g} s", limit), false);
  }
  return ok_status();
}

Status CommandNode::hand_out() {
  for (Slot& slot : slots_) {
    while (!queue_.empty() && !slot.in_flight) {
      JIGSAW_RETURN_IF_ERROR(advance_slot(slot));  // a process that died while idle must not cost a request
      std::string launch_failure;
      if (!make_ready(slot, launch_failure)) {
        if (launch_failure.empty()) break;  // pauses; another slot may be free
        Asked asked = std::move(queue_.front());
        queue_.pop_front();
        if (++asked.num_attempts <= retries_) {
          queue_.push_front(std::move(asked));
        } else {
          JIGSAW_RETURN_IF_ERROR(give_up(asked, ErrorCode::kUnavailable, launch_failure));
        }
        continue;
      }
      InFlight sent{std::move(queue_.front()), next_wire_id_++, clock_.now(), {}};
      queue_.pop_front();
      ++sent.asked.num_attempts;
      sent.deadline = sent.sent_at + time_limit_ + (slot.is_fresh ? start_time_limit_ : milliseconds(0));
      slot.child->send(encode_command_request(sent.wire_id, sent.asked.request));
      slot.in_flight = std::move(sent);
    }
  }
  return ok_status();
}

// Sees to it that the slot has a process. False while it pauses, and if none can be started: then with the reason.
bool CommandNode::make_ready(Slot& slot, std::string& launch_failure) {
  if (slot.child) return true;
  if (clock_.now() < slot.paused_until) return false;
  auto child = launcher_->launch();
  if (!child) {
    launch_failure = child.error().message();
    discard(slot);
    return false;
  }
  slot.child = std::move(*child);
  slot.is_fresh = true;
  return true;
}

// A line for the first, second, fourth .. failure: a program that always fails must not fill the log.
void CommandNode::note_failure(const Slot& slot, const std::string& reason) {
  if (!std::has_single_bit(++num_failures_)) return;
  log_warning("reward.process_lost", "reward={} pid={} losses={} reason={}", name_, slot.child->pid(), num_failures_,
              reason);
}

void CommandNode::discard(Slot& slot) {
  slot.child.reset();
  ++slot.num_failures;
  const int doublings = std::min(slot.num_failures - 2, 10);
  slot.paused_until =
      clock_.now() + (doublings < 0 ? milliseconds(0) : std::min(kPauseMax, kFirstPause * (1 << doublings)));
}

Status CommandNode::fail_attempt(Slot& slot, ErrorCode code, std::string reason, bool may_retry) {
  reason += with_stderr(*slot.child);
  note_failure(slot, reason);
  reason = "process " + std::to_string(slot.child->pid()) + " " + reason;
  Asked asked = std::move(slot.in_flight->asked);
  slot.in_flight.reset();
  discard(slot);
  if (!may_retry || asked.num_attempts > retries_) return give_up(asked, code, reason);
  queue_.push_front(std::move(asked));
  return ok_status();
}

Status CommandNode::give_up(const Asked& asked, ErrorCode code, const std::string& reason) {
  const std::string message =
      fmt::format("{}: request {}: {}{}", title_, asked.request.id, reason,
                  asked.num_attempts > 1 ? fmt::format(" (attempt {})", asked.num_attempts) : "");
  if (fail_on_error_) return Error(code, message);
  replies_.push_back({asked.request.id, error_value_, {}, message});
  return ok_status();
}

void CommandNode::take_replies(std::vector<RewardReply>& replies) {
  std::move(replies_.begin(), replies_.end(), std::back_inserter(replies));
  replies_.clear();
}

void CommandNode::add_wakeups(Wakeups& wakeups) const {
  for (const Slot& slot : slots_) {
    if (slot.child) slot.child->add_wakeups(wakeups);
    if (slot.in_flight) {
      wakeups.add_time(slot.in_flight->deadline);
    } else if (!slot.child && !queue_.empty()) {
      wakeups.add_time(slot.paused_until);
    }
  }
}

std::string CommandNode::waiting_for() const {
  std::string pids;
  int num_in_flight = 0;
  const InFlight* oldest = nullptr;
  for (const Slot& slot : slots_) {
    if (!slot.in_flight) continue;
    ++num_in_flight;
    pids += (pids.empty() ? "" : ", ") + std::to_string(slot.child->pid());
    if (oldest == nullptr || slot.in_flight->sent_at < oldest->sent_at) oldest = &*slot.in_flight;
  }
  if (oldest == nullptr && queue_.empty()) return "";
  std::string text = "reward '" + name_ + "': ";
  if (oldest != nullptr) {
    text += fmt::format("{} request{} at process{} {}, oldest {:.1f} s of {:.3g} s", num_in_flight,
                        num_in_flight == 1 ? "" : "s", num_in_flight == 1 ? "" : "es", pids,
                        seconds(clock_.now() - oldest->sent_at), seconds(oldest->deadline - oldest->sent_at));
  } else {
    text += "its processes pause after failures";
  }
  if (!queue_.empty()) text += fmt::format("; {} queued", queue_.size());
  return text;
}

Result<std::unique_ptr<RewardNode>> make_command_node(const RewardConfig& config, const Clock& clock) {
  const std::string where = "reward '" + reward_name(config) + "'";
  const auto bad = [&](const std::string& message) {
    return Error(ErrorCode::kInvalidArgument, where + ": " + message);
  };
  if (config.command.empty())
    return bad(R"(needs a 'command', such as ["python3", "judge.py"] (no shell is involved))");
  if (config.processes < 1 || config.processes > kProcessesMax) {
    return bad("processes is " + std::to_string(config.processes) + ", but must be from 1 to " +
               std::to_string(kProcessesMax));
  }
  constexpr milliseconds kTimeMax = std::chrono::seconds(1'000'000);
  if (config.time_limit <= milliseconds(0) || config.time_limit > kTimeMax) {
    return bad("time_limit_s must be above 0 and at most 1e6");
  }
  if (config.start_time_limit < milliseconds(0) || config.start_time_limit > kTimeMax) {
    return bad("start_time_limit_s must be from 0 to 1e6");
  }
  if (config.retries < 0 || config.retries > 100) return bad("retries must be from 0 to 100");
  if (config.subprocesses_max < 0 || config.subprocesses_max > kSubprocessesMax) {
    return bad("subprocesses must be from 0 to " + std::to_string(kSubprocessesMax));
  }
  for (const std::string& name : config.environment) {
    if (name.empty() || name.find('=') != std::string::npos) {
      return bad("environment: '" + name + "' is no name of a variable (values are given in the command, by env)");
    }
  }
  auto launcher = PipedLauncher::create({.program = {},
                                         .argv = config.command,
                                         .environment = config.environment,
                                         .limits = {.memory_bytes_max = config.memory_bytes_max,
                                                    .file_bytes_max = config.file_bytes_max,
                                                    .subprocesses_max = config.subprocesses_max,
                                                    .own_groups = config.own_groups}});
  if (!launcher) return launcher.error().with_context(where);
  JIGSAW_ASSIGN_OR_RETURN(auto node, CommandNode::create(config, std::move(*launcher), clock));
  return std::unique_ptr<RewardNode>(std::move(node));
}

}  // namespace jigsaw
