// The target's side of transfers: a pure state machine. Events and the time go in, messages and actions come out; the
// bytes are the caller's. One thread.
//
//   Offer -> kAsked --reserve()--> kReserved --Commit, all chunks there--> kActivating --activated()--> committed
//               |                     |                                        |
//               +---------------------+----------------------------------------+--> gone
//                 refuse(), cancel(), Abort, deadline, loss of the source, not activated
//
// What is gone never comes back: an id not above the highest seen of its source is not taken again, whatever old
// messages arrive. What is committed is remembered until the source says that it knows (settled_below), so that a
// repeated Commit is answered as the first one was.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/clock.h"
#include "migration/transfer_messages.h"

namespace jigsaw {

struct TransferTargetOptions {
  std::uint32_t reserved_chunks_max = 256;    // memory for payloads under way, of all sources together
  int live_max = 64;                          // transfers under way
  std::uint32_t window_chunks = 8;            // credit: chunks of a transfer on the way
  std::chrono::milliseconds idle_max{20000};  // deadline "reservation": since the source was last heard of it
};

class TransferTarget {
 public:
  using TimePoint = Clock::TimePoint;
  struct Key {
    PeerId source = 0;
    TransferId id{};
    auto operator<=>(const Key&) const = default;
  };

  // What the caller is to do.
  enum class Do {
    kDecide,    // is there room? Answer by reserve() or refuse()
    kActivate,  // all chunks are there: take the sequence over and call activated()
    kDrop,      // give back what was set aside and stored for it
  };
  struct Action {
    Do what{};
    Key key;
    TransferTerms terms;
    std::uint32_t num_chunks = 0;  // kActivate
    std::string reason{};          // kDrop
  };

  explicit TransferTarget(TransferTargetOptions options) : options_(options) {}

  int num_live() const { return static_cast<int>(live_.size()); }
  std::uint32_t reserved_chunks() const { return reserved_chunks_; }

  void reserve(Key key, TimePoint now);
  void refuse(Key key, std::string reason);
  // The sequence is the caller's from now on, or, with a reason, will never be. Either way nothing is stored any more.
  void activated(Key key, std::optional<std::string> refused_because);
  // By the caller's wish; a kDrop follows.
  void cancel(Key key, std::string reason);

  // Chunks whose bytes are sound. Whether the caller is to store this one (under its index).
  bool on_chunk(PeerId from, const Chunk& chunk, TimePoint now);
  // Any message but a Chunk.
  void on_message(PeerId from, const SourceMessage& message, TimePoint now);
  // The controller says so. What was committed stays with the caller.
  void on_peer_lost(PeerId peer);
  void on_time(TimePoint now);

  std::optional<Addressed<TargetMessage>> next_message(const std::set<PeerId>& blocked);
  std::vector<Action> take_actions();

 private:
  enum class State { kAsked, kReserved, kActivating };
  struct Live {
    TransferTerms terms;
    State state = State::kAsked;
    std::vector<bool> received{};
    std::uint32_t received_below = 0, credited_below = 0;
    bool is_reserved_due = false, is_credit_due = false, is_commit_waiting = false;
    TimePoint deadline{};
  };
  struct Peer {
    std::optional<TransferId> highest_seen{};
    std::set<TransferId> committed{};
  };
  using Transfers = std::map<Key, Live>;

  void on(PeerId from, const Offer& offer, TimePoint now);
  void on(PeerId from, const Commit& commit, TimePoint now);
  void on(PeerId from, const Abort& abort);
  Transfers::iterator drop(Transfers::iterator transfer, std::string reason, bool tells_source);
  void erase(Transfers::iterator transfer);
  void answer_over(PeerId from, TransferId id);  // of one that is not under way
  void reply(PeerId to, TargetMessage message);
  std::uint32_t limit_of(const Live& live) const { return live.received_below + options_.window_chunks; }

  TransferTargetOptions options_;
  std::uint32_t reserved_chunks_ = 0;
  Transfers live_;
  std::map<PeerId, Peer> peers_;
  std::deque<Addressed<TargetMessage>> replies_;  // the oldest are dropped: the source asks again
  std::vector<Action> actions_;
};

}  // namespace jigsaw
