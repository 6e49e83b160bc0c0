#include "migration/transfer_target.h"

#include <algorithm>
#include <iterator>

#include "core/check.h"

namespace jigsaw {
namespace {

constexpr std::size_t kRepliesMax = 1024;
constexpr std::size_t kUnsettledMax = 4096;  // committed transfers of one source, which settles all but a few at once

void settle(std::set<TransferId>& committed, TransferId below) {
  committed.erase(committed.begin(), committed.lower_bound(below));
}

void raise(std::optional<TransferId>& highest, TransferId id) { highest = std::max(highest.value_or(id), id); }

}  // namespace

void TransferTarget::reserve(Key key, TimePoint now) {
  const auto transfer = live_.find(key);
  if (transfer == live_.end()) return;
  CHECK(transfer->second.state == State::kAsked);
  transfer->second.state = State::kReserved;
  transfer->second.is_reserved_due = true;
  transfer->second.deadline = now + options_.idle_max;
}

void TransferTarget::refuse(Key key, std::string reason) {
  const auto transfer = live_.find(key);
  if (transfer == live_.end()) return;
  CHECK(transfer->second.state == State::kAsked);
  erase(transfer);
  reply(key.source, Gone{key.id, std::move(reason)});
}

void TransferTarget::activated(Key key, std::optional<std::string> refused_because) {
  const auto transfer = live_.find(key);
  CHECK(transfer != live_.end() && transfer->second.state == State::kActivating);
  erase(transfer);
  if (refused_because) {
    reply(key.source, Gone{key.id, *std::move(refused_because)});
  } else {
    peers_[key.source].committed.insert(key.id);
    reply(key.source, Ack{key.id});
  }
}

void TransferTarget::cancel(Key key, std::string reason) {
  const auto transfer = live_.find(key);
  if (transfer != live_.end()) drop(transfer, std::move(reason), true);
}

bool TransferTarget::on_chunk(PeerId from, const Chunk& chunk, TimePoint now) {
  const auto transfer = live_.find({from, chunk.id});
  if (transfer == live_.end()) {
    answer_over(from, chunk.id);
    return false;
  }
  Live& live = transfer->second;
  if (live.state != State::kReserved) return false;
  if (chunk.index >= std::min(live.terms.chunks_max, limit_of(live))) {
    drop(transfer, "sent more chunks than were offered or credited", true);
    return false;
  }
  live.deadline = now + options_.idle_max;
  if (live.received[chunk.index]) {
    live.is_credit_due = true;  // the last one seems to be lost
    return false;
  }
  live.received[chunk.index] = true;
  while (live.received_below < live.terms.chunks_max && live.received[live.received_below]) ++live.received_below;
  if (live.received_below - live.credited_below >= (options_.window_chunks + 1) / 2) live.is_credit_due = true;
  return true;
}

void TransferTarget::on_message(PeerId from, const SourceMessage& message, TimePoint now) {
  if (const auto* offer = std::get_if<Offer>(&message)) {
    on(from, *offer, now);
  } else if (const auto* commit = std::get_if<Commit>(&message)) {
    on(from, *commit, now);
  } else if (const auto* abort = std::get_if<Abort>(&message)) {
    on(from, *abort);
  }
}

void TransferTarget::on(PeerId from, const Offer& offer, TimePoint now) {
  Peer& peer = peers_[from];
  settle(peer.committed, offer.settled_below);
  const Key key{from, offer.id};
  if (const auto transfer = live_.find(key); transfer != live_.end()) {
    if (transfer->second.state == State::kReserved) transfer->second.is_reserved_due = true;
    return;
  }
  if (peer.highest_seen && offer.id <= *peer.highest_seen) return answer_over(from, offer.id);
  raise(peer.highest_seen, offer.id);
  const std::uint32_t free_chunks = options_.reserved_chunks_max - reserved_chunks_;
  if (num_live() >= options_.live_max || offer.terms.chunks_max > free_chunks || offer.terms.chunks_max == 0 ||
      peer.committed.size() >= kUnsettledMax) {
    return reply(from, Gone{offer.id, "no room for another transfer"});
  }
  reserved_chunks_ += offer.terms.chunks_max;
  live_[key] = {.terms = offer.terms,
                .received = std::vector<bool>(offer.terms.chunks_max, false),
                .deadline = now + options_.idle_max};
  actions_.push_back({.what = Do::kDecide, .key = key, .terms = offer.terms});
}

void TransferTarget::on(PeerId from, const Commit& commit, TimePoint now) {
  settle(peers_[from].committed, commit.settled_below);
  const Key key{from, commit.id};
  const auto transfer = live_.find(key);
  if (transfer == live_.end()) return answer_over(from, commit.id);
  Live& live = transfer->second;
  if (live.state != State::kReserved) return;
  if (commit.num_chunks == 0 || commit.num_chunks > live.terms.chunks_max) {
    drop(transfer, "its commit is of more chunks than were offered", true);
    return;
  }
  live.deadline = now + options_.idle_max;
  if (live.received_below < commit.num_chunks) {
    live.is_credit_due = live.is_commit_waiting = true;
    return;
  }
  live.state = State::kActivating;
  actions_.push_back({.what = Do::kActivate, .key = key, .terms = live.terms, .num_chunks = commit.num_chunks});
}

void TransferTarget::on(PeerId from, const Abort& abort) {
  Peer& peer = peers_[from];
  settle(peer.committed, abort.settled_below);
  raise(peer.highest_seen, abort.id);  // its Offer may still be on the way
  const auto transfer = live_.find({from, abort.id});
  if (transfer != live_.end() && transfer->second.state != State::kActivating) {
    drop(transfer, "the source has taken it back", false);
  }
}

// Only what was committed is acknowledged; all else will never be taken.
void TransferTarget::answer_over(PeerId from, TransferId id) {
  Peer& peer = peers_[from];
  raise(peer.highest_seen, id);
  if (peer.committed.contains(id)) {
    reply(from, Ack{id});
  } else {
    reply(from, Gone{id, "the target does not have it"});
  }
}

void TransferTarget::reply(PeerId to, TargetMessage message) {
  const auto is_same = [&](const auto& other) { return other.to == to && other.message == message; };
  if (std::ranges::any_of(replies_, is_same)) return;
  replies_.push_back({to, std::move(message)});
  if (replies_.size() > kRepliesMax) replies_.pop_front();
}

void TransferTarget::erase(Transfers::iterator transfer) {
  reserved_chunks_ -= transfer->second.terms.chunks_max;
  live_.erase(transfer);
}

TransferTarget::Transfers::iterator TransferTarget::drop(Transfers::iterator transfer, std::string reason,
                                                         bool tells_source) {
  const Key key = transfer->first;
  std::erase_if(actions_, [&](const Action& action) { return action.key == key; });
  if (tells_source) reply(key.source, Gone{key.id, reason});
  actions_.push_back({.what = Do::kDrop, .key = key, .terms = transfer->second.terms, .reason = std::move(reason)});
  const auto next = std::next(transfer);
  erase(transfer);
  return next;
}

void TransferTarget::on_peer_lost(PeerId peer) {
  for (auto transfer = live_.begin(); transfer != live_.end();) {
    transfer = transfer->first.source == peer ? drop(transfer, "the source is lost", false) : std::next(transfer);
  }
  std::erase_if(replies_, [&](const auto& message) { return message.to == peer; });
  peers_.erase(peer);
}

void TransferTarget::on_time(TimePoint now) {
  for (auto transfer = live_.begin(); transfer != live_.end();) {
    const bool is_over = now >= transfer->second.deadline && transfer->second.state != State::kActivating;
    transfer = is_over ? drop(transfer, "deadline 'reservation' has passed", true) : std::next(transfer);
  }
}

std::optional<Addressed<TargetMessage>> TransferTarget::next_message(const std::set<PeerId>& blocked) {
  const auto ready = std::ranges::find_if(replies_, [&](const auto& some) { return !blocked.contains(some.to); });
  if (ready != replies_.end()) {
    Addressed<TargetMessage> message = std::move(*ready);
    replies_.erase(ready);
    return message;
  }
  for (auto& [key, live] : live_) {
    if (blocked.contains(key.source)) continue;
    if (std::exchange(live.is_reserved_due, false)) {
      return Addressed<TargetMessage>{key.source, Reserved{key.id, limit_of(live)}};
    }
    if (std::exchange(live.is_credit_due, false)) {
      live.credited_below = live.received_below;
      return Addressed<TargetMessage>{key.source, Credit{key.id, live.received_below, limit_of(live),
                                                         std::exchange(live.is_commit_waiting, false)}};
    }
  }
  return std::nullopt;
}

std::vector<TransferTarget::Action> TransferTarget::take_actions() { return std::exchange(actions_, {}); }

}  // namespace jigsaw
