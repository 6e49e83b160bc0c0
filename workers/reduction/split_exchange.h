// What workers that train a long sample together make for each other (rollout/models/split_pass.h), over the links
// between them, during an update: keys and values, scores, and gradients of keys and values.
//
// Everyone fetches, as in link_exchange.h: what a worker needs it asks of the one that makes it, piece by piece and
// ahead of time; the other answers once it has made it. Nothing comes unasked, so nothing is kept that is not wanted;
// what is not answered for kAskAgainAfter is asked for again, so that links may lose messages.
//
// Executor thread only, and nothing here blocks. Memory that is fetched to or published belongs to the caller.
#pragma once

#include <chrono>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/clock.h"
#include "core/transport/peer_links.h"
#include "core/wire/peer_messages.pb.h"
#include "rollout/models/split_pass.h"
#include "workers/reduction/link_outbox.h"
#include "workers/reduction/piece_fetch.h"

namespace jigsaw {

class SplitExchange {
 public:
  static constexpr std::size_t kPieceFloats = PieceFetch::kPieceFloats;
  static constexpr std::size_t kPiecesUnderWay = 8;  // asked of one peer at a time
  static constexpr std::chrono::milliseconds kAskAgainAfter = PieceFetch::kAskAgainAfter;
  // Of one peer: answers that its link has not taken yet, and requests that wait for those, or for what is not made
  // yet. More are dropped, and asked again. A peer that keeps to kPiecesUnderWay has far fewer.
  static constexpr std::size_t kAnswersQueued = 32;
  static constexpr std::size_t kRequestsKept = 256;

  struct Name {
    std::uint32_t sample = 0;  // of the update
    SplitItem item;
    auto operator<=>(const Name&) const = default;
  };

  // The links outlive it. `pipeline`: of the job, told in each message.
  SplitExchange(PeerLinks& links, std::uint32_t pipeline, const Clock& clock);

  // An update begins. `attempt`: the same on all participants, higher than any before.
  void begin(std::uint64_t attempt, std::vector<PeerId> participants);
  // What this worker has made, for whoever of the participants asks for it, until withdraw() or end().
  void publish(const Name& name, std::span<const float> floats);
  void withdraw(const Name& name) { published_.erase(name); }
  // Of a sample: all but gradients of keys and values.
  void withdraw_all_but_gradients(std::uint32_t sample);
  // Has it fetched to `to`, unless it is under way already. Fetches of one peer are asked for in order.
  void fetch(PeerId peer, const Name& name, std::span<float> to);
  // What has been fetched since the last call.
  std::vector<Name> take_arrived() { return std::exchange(arrived_, {}); }
  // The update is over, or given up: no memory of its is touched any more.
  void end();

  // What peers sent. Whatever does not fit what is under way is dropped.
  void on_request(PeerId from, const wire::SplitRequest& request);
  void on_part(PeerId from, const wire::SplitPart& part);
  // Asks and answers.
  void serve();
  // For stall reports; empty when nothing is being fetched.
  std::string waiting_for() const;

 private:
  struct Fetch {
    PeerId peer = 0;
    PieceFetch pieces;
  };
  void ask(const Name& name, Fetch& fetch, std::size_t& under_way);
  bool answer(PeerId to, const wire::SplitRequest& request);

  PeerLinks& links_;
  const std::uint32_t pipeline_;
  const Clock& clock_;
  std::uint64_t attempt_ = 0;
  bool is_under_way_ = false;
  std::vector<PeerId> participants_;
  std::map<Name, std::span<const float>> published_;
  std::vector<std::pair<Name, Fetch>> fetches_;  // in order of fetch()
  std::vector<Name> arrived_;
  std::vector<std::pair<PeerId, wire::SplitRequest>> waiting_;  // requests
  LinkOutbox outbox_;
};

}  // namespace jigsaw
