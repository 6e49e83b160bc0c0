// The source's side of transfers: a pure state machine. Events and the time go in, messages and actions come out; the
// bytes are the caller's. One thread.
//
//   offer() -> kOffered --Reserved--> kFreezing --payload()--> kSending --last chunk, Commit--> kCommitting --Ack-->
//   Moved
//                 |                      |                       |                                |
//                 +----------------------+-----------------------+--------------------------------+--> taken back
//                   Gone, cancel(), a deadline, loss of the target               Gone, loss of the target
//
// The sequence is the source's until the Ack. After a Commit the target may have it, so neither a deadline nor cancel()
// takes it back then: the source asks again and again, the answer (Ack or Gone) stays the same however often it is
// given, and a target that never answers is one that the controller will call lost.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/clock.h"
#include "migration/transfer_messages.h"

namespace jigsaw {

struct TransferSourceOptions {
  TransferId first_id{1};                       // higher than any that this source has used with peers that remember it
  int open_max = 8;                             // transfers at a time
  std::chrono::milliseconds resend_after{500};  // an unanswered message; doubles up to resend_max
  std::chrono::milliseconds resend_max{4000};
  std::chrono::milliseconds offer_max{10000};       // deadline "offer": until it is answered
  std::chrono::milliseconds freeze_max{10000};      // deadline "freeze": until the caller has the payload
  std::chrono::milliseconds chunks_max{15000};      // deadline "chunks": since the last sign of progress
  std::chrono::milliseconds unanswered_max{15000};  // deadline "commit": then kUnanswered is told, once
};

class TransferSource {
 public:
  using TimePoint = Clock::TimePoint;

  // What the caller is to do.
  enum class Do {
    kFreeze,      // stop decoding it and call payload(), or cancel()
    kForget,      // it has moved
    kGoOn,        // it was taken back: go on with it
    kUnanswered,  // for the log: whether the target has it is not known
  };
  struct Action {
    Do what{};
    TransferId id{};
    PeerId target = 0;
    std::string reason{};  // kGoOn
  };

  explicit TransferSource(TransferSourceOptions options) : options_(options), next_id_(options.first_id) {}

  int num_open() const { return static_cast<int>(open_.size()); }
  bool may_offer() const { return num_open() < options_.open_max; }
  // CHECKs may_offer().
  TransferId offer(PeerId target, const TransferTerms& terms, TimePoint now);
  // The answer to kFreeze: the payload has so many chunks, 1 to terms.chunks_max. False: the transfer is over already.
  bool payload(TransferId id, std::uint32_t num_chunks, TimePoint now);
  // Takes it back, by an action, unless a Commit is out: then Ack or Gone will decide.
  void cancel(TransferId id);
  // The caller does not want the sequence any more, wherever it is: no action will follow.
  void forget(TransferId id);

  void on_message(PeerId from, const TargetMessage& message, TimePoint now);
  // The controller says so: it will never be a target again under this number, nor has it what it took.
  void on_peer_lost(PeerId peer);
  void on_time(TimePoint now);

  // The next message for a peer that is not among `blocked`; of a Chunk, the caller has the bytes.
  std::optional<Addressed<SourceMessage>> next_message(const std::set<PeerId>& blocked, TimePoint now);
  std::vector<Action> take_actions();

 private:
  enum class State { kOffered, kFreezing, kSending, kCommitting };
  struct Open {
    PeerId target = 0;
    TransferTerms terms;
    State state = State::kOffered;
    bool is_message_due = true;  // Offer or Commit, by state
    std::uint32_t num_chunks = 0, next_chunk = 0, received_below = 0, chunk_limit = 0;
    bool was_told_unanswered = false;
    TimePoint deadline{}, resend_at{};
    std::chrono::milliseconds resend_after{0};
  };
  using Transfers = std::map<TransferId, Open>;

  void on(Open& open, TransferId id, const Reserved& message, TimePoint now);
  void on(Open& open, const Credit& message, TimePoint now);
  Transfers::iterator take_back(Transfers::iterator transfer, std::string reason, bool tells_target);
  std::optional<SourceMessage> message_of(TransferId id, Open& open, TimePoint now);
  void restart_resending(Open& open, TimePoint now) const;
  TransferId settled_below() const { return open_.empty() ? next_id_ : open_.begin()->first; }

  TransferSourceOptions options_;
  TransferId next_id_;
  Transfers open_;
  std::deque<Addressed<TransferId>> aborts_;  // to be told; the oldest are dropped, the target's deadline does the same
  std::vector<Action> actions_;
};

}  // namespace jigsaw
