// The gradient exchange over the links between workers, for when MPI cannot be asked any more: after a worker was lost
// (OpenMPI's ranks are those of the start), or with one that has joined.
//
// Everyone fetches: each participant asks the others for their partial sums of its own segment, chunk by chunk, adds
// them (workers/reduction/segment_sum.h), then asks for the other segments of the result. Nothing comes unasked, so
// nothing has to be kept that is not wanted; what is not answered for kAskAgainAfter is asked for again, so that links
// may lose messages.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/clock.h"
#include "core/transport/peer_links.h"
#include "core/wire/peer_messages.pb.h"
#include "workers/reduction/gradient_exchange.h"
#include "workers/reduction/link_outbox.h"
#include "workers/reduction/piece_fetch.h"
#include "workers/reduction/segment_sum.h"

namespace jigsaw {

class LinkExchange : public GradientExchange {
 public:
  static constexpr std::size_t kChunkFloats = PieceFetch::kPieceFloats;
  static constexpr std::size_t kChunksUnderWay = 8;  // asked of one peer at a time
  static constexpr std::chrono::milliseconds kAskAgainAfter = PieceFetch::kAskAgainAfter;
  // Of one peer: answers that its link has not taken yet, and requests that wait for those, or for the sum. More are
  // dropped, and asked again. A peer that keeps to kChunksUnderWay has far fewer.
  static constexpr std::size_t kAnswersQueued = 32;
  static constexpr std::size_t kRequestsKept = 1024;

  // The links outlive it. `self`: this worker; `pipeline`: of the job, told in each message.
  LinkExchange(PeerLinks& links, PeerId self, std::uint32_t pipeline, const Clock& clock);

  Status start(ExchangeWork work, SlotSum sum, std::size_t num_floats) override;
  Result<std::optional<AlignedFloats>> poll() override;
  void abandon() override;
  std::string waiting_for() const override;

  // What peers sent. Whatever does not fit the exchange under way is dropped.
  void on_request(PeerId from, const wire::GradientRequest& request);
  void on_part(PeerId from, const wire::GradientPart& part);

  // Asks and answers; also between updates, since peers may still want this worker's part of the last one.
  void serve();

 private:
  // Some floats that a peer has.
  struct Fetch {
    PeerId peer = 0;
    bool of_result = false;
    TreeNode node;  // of a partial sum
    Segment range;  // of the flat gradient
    PieceFetch chunks;
    bool done() const { return chunks.done(); }
  };
  void add_fetch(PeerId peer, bool of_result, TreeNode node, Segment range, float* to);
  void ask(Fetch& fetch);
  void finish_segment();
  bool answer(PeerId to, const wire::GradientRequest& request);
  int place_of(PeerId worker) const;
  int count() const { return static_cast<int>(work_.participants.size()); }

  PeerLinks& links_;
  PeerId self_;
  std::uint32_t pipeline_;
  const Clock& clock_;

  ExchangeWork work_;
  SlotSum own_{0};
  std::size_t num_floats_ = 0;
  bool is_under_way_ = false, is_summed_ = false;
  std::vector<SegmentPartial> received_;  // what fetches of partial sums write to
  AlignedFloats own_segment_;             // of the result, once summed; kept for peers
  AlignedFloats result_;
  std::vector<Fetch> fetches_;
  std::vector<std::pair<PeerId, wire::GradientRequest>> waiting_;  // requests
  LinkOutbox outbox_;
};

}  // namespace jigsaw
