#include "migration/transfer_source.h"

#include <algorithm>
#include <utility>

#include "core/check.h"

namespace jigsaw {
namespace {

constexpr std::size_t kAbortsMax = 256;

TransferId id_of(const TargetMessage& message) {
  return std::visit([](const auto& some) { return some.id; }, message);
}

}  // namespace

TransferId TransferSource::offer(PeerId target, const TransferTerms& terms, TimePoint now) {
  CHECK(may_offer() && terms.chunks_max >= 1);
  const TransferId id = next_id_;
  next_id_ = TransferId{static_cast<std::uint64_t>(id) + 1};
  Open open{.target = target, .terms = terms, .deadline = now + options_.offer_max};
  restart_resending(open, now);
  open_.emplace(id, open);
  return id;
}

bool TransferSource::payload(TransferId id, std::uint32_t num_chunks, TimePoint now) {
  const auto transfer = open_.find(id);
  if (transfer == open_.end()) return false;
  Open& open = transfer->second;
  CHECK(open.state == State::kFreezing && num_chunks >= 1 && num_chunks <= open.terms.chunks_max);
  open.state = State::kSending;
  open.num_chunks = num_chunks;
  open.deadline = now + options_.chunks_max;
  restart_resending(open, now);
  return true;
}

void TransferSource::cancel(TransferId id) {
  const auto transfer = open_.find(id);
  if (transfer != open_.end() && transfer->second.state != State::kCommitting) take_back(transfer, "cancelled", true);
}

void TransferSource::forget(TransferId id) {
  if (const auto transfer = open_.find(id); transfer != open_.end()) take_back(transfer, "", true);
  std::erase_if(actions_, [&](const Action& action) { return action.id == id; });
}

void TransferSource::on_message(PeerId from, const TargetMessage& message, TimePoint now) {
  const TransferId id = id_of(message);
  const auto transfer = open_.find(id);
  if (transfer == open_.end() || transfer->second.target != from) return;  // over for long, or none of its business
  Open& open = transfer->second;
  if (const auto* reserved = std::get_if<Reserved>(&message)) {
    on(open, id, *reserved, now);
  } else if (const auto* credit = std::get_if<Credit>(&message)) {
    on(open, *credit, now);
  } else if (const auto* gone = std::get_if<Gone>(&message)) {
    take_back(transfer, gone->reason, false);
  } else if (open.state == State::kCommitting) {
    actions_.push_back({.what = Do::kForget, .id = id, .target = from});
    open_.erase(transfer);
  }
}

void TransferSource::on(Open& open, TransferId id, const Reserved& message, TimePoint now) {
  open.chunk_limit = std::max(open.chunk_limit, message.chunk_limit);
  if (open.state != State::kOffered) return;
  open.state = State::kFreezing;
  open.is_message_due = false;
  open.deadline = now + options_.freeze_max;
  actions_.push_back({.what = Do::kFreeze, .id = id, .target = open.target});
}

void TransferSource::on(Open& open, const Credit& message, TimePoint now) {
  if (open.state != State::kSending && open.state != State::kCommitting) return;
  open.chunk_limit = std::max(open.chunk_limit, message.chunk_limit);
  if (message.received_below > open.received_below && message.received_below <= open.num_chunks) {
    open.received_below = message.received_below;
    open.next_chunk = std::max(open.next_chunk, open.received_below);
    if (open.state == State::kSending) open.deadline = now + options_.chunks_max;
    restart_resending(open, now);
  }
  if (message.is_commit_waiting && open.state == State::kCommitting) {
    open.next_chunk = open.received_below;
    open.is_message_due = true;
  }
}

TransferSource::Transfers::iterator TransferSource::take_back(Transfers::iterator transfer, std::string reason,
                                                              bool tells_target) {
  actions_.push_back(
      {.what = Do::kGoOn, .id = transfer->first, .target = transfer->second.target, .reason = std::move(reason)});
  if (tells_target) aborts_.push_back({transfer->second.target, transfer->first});
  if (aborts_.size() > kAbortsMax) aborts_.pop_front();
  return open_.erase(transfer);
}

void TransferSource::on_peer_lost(PeerId peer) {
  std::erase_if(aborts_, [&](const auto& abort) { return abort.to == peer; });
  for (auto transfer = open_.begin(); transfer != open_.end();) {
    transfer = transfer->second.target == peer ? take_back(transfer, "the target is lost", false) : std::next(transfer);
  }
}

void TransferSource::on_time(TimePoint now) {
  for (auto transfer = open_.begin(); transfer != open_.end();) {
    Open& open = transfer->second;
    if (now >= open.deadline && open.state != State::kCommitting) {
      const char* name = open.state == State::kOffered ? "offer" : open.state == State::kFreezing ? "freeze" : "chunks";
      transfer = take_back(transfer, std::string("deadline '") + name + "' has passed", true);
      continue;
    }
    if (now >= open.deadline && !std::exchange(open.was_told_unanswered, true)) {
      actions_.push_back({.what = Do::kUnanswered, .id = transfer->first, .target = open.target});
    }
    if (now >= open.resend_at && open.state != State::kFreezing) {
      open.resend_after = std::min(open.resend_after * 2, options_.resend_max);
      open.resend_at = now + open.resend_after;
      if (open.state == State::kSending) {
        open.next_chunk = open.received_below;
      } else {
        open.is_message_due = true;
      }
    }
    ++transfer;
  }
}

void TransferSource::restart_resending(Open& open, TimePoint now) const {
  open.resend_after = options_.resend_after;
  open.resend_at = now + open.resend_after;
}

std::optional<SourceMessage> TransferSource::message_of(TransferId id, Open& open, TimePoint now) {
  if (open.state == State::kOffered) {
    if (!std::exchange(open.is_message_due, false)) return std::nullopt;
    return Offer{id, settled_below(), open.terms};
  }
  if (open.state == State::kFreezing) return std::nullopt;
  if (open.next_chunk < std::min(open.num_chunks, open.chunk_limit)) return Chunk{id, open.next_chunk++};
  if (open.next_chunk < open.num_chunks) return std::nullopt;
  if (open.state == State::kSending) {
    open.state = State::kCommitting;
    open.is_message_due = true;
    open.deadline = now + options_.unanswered_max;
    restart_resending(open, now);
  }
  if (!std::exchange(open.is_message_due, false)) return std::nullopt;
  return Commit{id, settled_below(), open.num_chunks};
}

std::optional<Addressed<SourceMessage>> TransferSource::next_message(const std::set<PeerId>& blocked, TimePoint now) {
  const auto abort = std::ranges::find_if(aborts_, [&](const auto& some) { return !blocked.contains(some.to); });
  if (abort != aborts_.end()) {
    const Addressed<SourceMessage> message{abort->to, Abort{abort->message, settled_below()}};
    aborts_.erase(abort);
    return message;
  }
  for (auto& [id, open] : open_) {
    if (blocked.contains(open.target)) continue;
    if (auto message = message_of(id, open, now)) return Addressed<SourceMessage>{open.target, *std::move(message)};
  }
  return std::nullopt;
}

std::vector<TransferSource::Action> TransferSource::take_actions() { return std::exchange(actions_, {}); }

}  // namespace jigsaw
