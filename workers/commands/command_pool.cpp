#include "workers/commands/command_pool.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "core/in_quotes.h"
#include "core/log.h"
#include "workers/commands/command_lines.h"

namespace jigsaw {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kFirstPause{10};

double seconds(std::chrono::nanoseconds time) { return std::chrono::duration<double>(time).count(); }

std::string joined_command(const std::vector<std::string>& argv) {
  std::string text;
  for (const std::string& argument : argv) text += (text.empty() ? "" : " ") + argument;
  std::size_t shown = 200;
  if (text.size() <= shown) return text;
  while (shown > 0 && (text[shown] & 0xC0) == 0x80) --shown;  // wire messages take valid UTF-8 only
  return text.substr(0, shown) + "...";
}

std::string with_stderr(const ChildProcess& child) {
  const std::string tail = child.stderr_tail();
  if (tail.empty()) return "";
  constexpr std::size_t kBytesShown = 120;  // the end of it tells most
  return "; stderr ends " + in_quotes(tail.size() > kBytesShown ? tail.substr(tail.size() - kBytesShown) : tail);
}

}  // namespace

CommandPool::CommandPool(const std::string& kind, const std::string& name, const CommandOptions& options,
                         std::unique_ptr<ChildLauncher> launcher, const Clock& clock, CommandAsker& asker)
    : kind_(kind),
      name_(name),
      command_(joined_command(options.argv)),
      retries_(options.retries),
      time_limit_(options.time_limit),
      start_time_limit_(options.start_time_limit),
      launcher_(std::move(launcher)),
      clock_(clock),
      asker_(asker),
      slots_(static_cast<std::size_t>(options.processes)) {}

Result<std::unique_ptr<CommandPool>> CommandPool::create(const std::string& kind, const std::string& name,
                                                         const CommandOptions& options,
                                                         std::unique_ptr<ChildLauncher> launcher, const Clock& clock,
                                                         CommandAsker& asker) {
  std::unique_ptr<CommandPool> pool(new CommandPool(kind, name, options, std::move(launcher), clock, asker));
  for (Slot& slot : pool->slots_) {
    auto child = pool->launcher_->launch();
    if (!child) return child.error().with_context(fmt::format("{} '{}' ({})", kind, name, pool->command_));
    slot.child = std::move(*child);
  }
  return pool;
}

Status CommandPool::submit(std::uint64_t id, std::string fields) {
  queue_.push_back({id, std::move(fields), 0});
  return hand_out();
}

Status CommandPool::advance() {
  for (Slot& slot : slots_) JIGSAW_RETURN_IF_ERROR(advance_slot(slot));
  return hand_out();
}

Status CommandPool::advance_slot(Slot& slot) {
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
  if (line) return take_line(slot, *line);
  if (failure) return fail_attempt(slot, ErrorCode::kUnavailable, *failure, true);
  if (clock_.now() >= slot.in_flight->deadline) {
    // The request is the likely culprit, so another process would only be kept busy as well.
    const double limit = seconds(slot.in_flight->deadline - slot.in_flight->sent_at);
    return fail_attempt(slot, ErrorCode::kTimeout,
                        fmt::format("gave no answer within the time limit of {:.3g} s", limit), false);
  }
  return ok_status();
}

Status CommandPool::take_line(Slot& slot, const std::string& line) {
  if (!slot.child->has_read_all()) {
    return fail_attempt(slot, ErrorCode::kCorrupt, "answered before it had read the request: " + in_quotes(line), true);
  }
  const auto refusal = asker_.take_reply(slot.in_flight->asked.id, slot.in_flight->wire_id, line);
  if (!refusal) return fail_attempt(slot, ErrorCode::kCorrupt, refusal.error().message(), true);
  const Asked asked = std::move(slot.in_flight->asked);
  slot.in_flight.reset();
  slot.is_fresh = false;
  slot.num_failures = 0;
  if (refusal->empty()) return ok_status();
  return give_up(asked, ErrorCode::kInvalidArgument, "the program says: " + in_quotes(*refusal));
}

Status CommandPool::hand_out() {
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
      slot.child->send(request_line(sent.wire_id, sent.asked.fields));
      slot.in_flight = std::move(sent);
    }
  }
  return ok_status();
}

// Sees to it that the slot has a process. False while it pauses, and if none can be started: then with the reason.
bool CommandPool::make_ready(Slot& slot, std::string& launch_failure) {
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
void CommandPool::note_failure(const Slot& slot, const std::string& reason) {
  if (!std::has_single_bit(++num_failures_)) return;
  log_warning(kind_ + ".process_lost", "{}={} pid={} losses={} reason={}", kind_, name_, slot.child->pid(),
              num_failures_, reason);
}

void CommandPool::discard(Slot& slot) {
  slot.child.reset();
  ++slot.num_failures;
  const int doublings = std::min(slot.num_failures - 2, 10);
  slot.paused_until =
      clock_.now() + (doublings < 0 ? milliseconds(0) : std::min(kPauseMax, kFirstPause * (1 << doublings)));
}

Status CommandPool::fail_attempt(Slot& slot, ErrorCode code, std::string reason, bool may_retry) {
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

Status CommandPool::give_up(const Asked& asked, ErrorCode code, const std::string& reason) {
  return asker_.take_failure(
      asked.id,
      Error(code, fmt::format("{} '{}' ({}): request {}: {}{}", kind_, name_, command_, asked.id, reason,
                              asked.num_attempts > 1 ? fmt::format(" (attempt {})", asked.num_attempts) : "")));
}

void CommandPool::add_wakeups(Wakeups& wakeups) const {
  for (const Slot& slot : slots_) {
    if (slot.child) slot.child->add_wakeups(wakeups);
    if (slot.in_flight) {
      wakeups.add_time(slot.in_flight->deadline);
    } else if (!slot.child && !queue_.empty()) {
      wakeups.add_time(slot.paused_until);
    }
  }
}

std::string CommandPool::waiting_for() const {
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
  std::string text = kind_ + " '" + name_ + "': ";
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

}  // namespace jigsaw
