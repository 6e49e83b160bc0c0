// The transfers of one worker, both ways: the two state machines over its links, with the frames that are on the way
// and the chunks that have come. What a sequence is and where it runs, the host knows. One thread; never blocks.
//
// Bounds: what comes is bounded by TransferTargetOptions (a source has room set aside for it, or is refused); what goes
// by TransferSourceOptions::open_max payloads of chunks_max. A full link holds up transfers to its peer alone.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/clock.h"
#include "core/result.h"
#include "core/transport/peer_links.h"
#include "core/wire/peer_frame.h"
#include "migration/transfer_codec.h"
#include "migration/transfer_source.h"
#include "migration/transfer_target.h"

namespace jigsaw {

// Calls come from within TransferService::serve(). None may call the service back.
class TransferHost {
 public:
  virtual ~TransferHost() = default;

  // As the source of a transfer that was offered. Stops the sequence and gives its payload: a PayloadWriter's frames,
  // no more than the offered terms' chunks_max. Empty: there is nothing to move any more, and on_taken_back() follows.
  virtual std::vector<std::string> freeze(TransferId id) = 0;
  virtual void on_moved(TransferId id) = 0;  // the target has it
  virtual void on_taken_back(TransferId id, const std::string& reason) = 0;

  // As the target. An error refuses it, with its message as the reason. One that was reserved is activated or dropped.
  virtual Status reserve(TransferTarget::Key key, const TransferTerms& terms) = 0;
  virtual Status activate(TransferTarget::Key key, const TransferTerms& terms, const ReceivedPayload& payload) = 0;
  virtual void drop(TransferTarget::Key key, const std::string& reason) = 0;
};

class TransferService {
 public:
  // `links` and `host` outlive it.
  TransferService(PeerLinks& links, TransferHost& host, const Clock& clock, TransferSourceOptions source = {},
                  TransferTargetOptions target = {});

  bool may_offer() const { return source_.may_offer(); }
  TransferId offer(PeerId target, const TransferTerms& terms);  // CHECKs may_offer()
  // The host does not want it any more, wherever it is, and hears no more of it: for a sequence that is given up.
  void forget(TransferId id);
  // The same for one that is to come; its source goes on with it.
  void refuse(TransferTarget::Key key, const std::string& reason);

  // A frame that `decoded` is of; returns false, and leaves it alone, if it is of no transfer.
  bool on_frame(PeerId from, MessageBytes& frame, const PeerFrame& decoded);
  void on_peer_lost(PeerId peer);
  // Deadlines, what there is to do, and what there is to send. Often.
  void serve();

  int num_open() const { return source_.num_open() + target_.num_live(); }

 private:
  using Frames = std::vector<std::shared_ptr<const std::string>>;
  bool act();
  void act_on(const TransferSource::Action& action);
  void act_on(const TransferTarget::Action& action);
  void activate(const TransferTarget::Action& action);
  void send();
  std::shared_ptr<const std::string> frame_of(const SourceMessage& message) const;
  void send_or_hold(PeerId to, std::shared_ptr<const std::string> frame);

  PeerLinks& links_;
  TransferHost& host_;
  const Clock& clock_;
  TransferSource source_;
  TransferTarget target_;
  std::map<TransferId, Frames> outgoing_;                         // frozen
  std::map<TransferTarget::Key, ReceivedPayload> incoming_;       // reserved
  std::map<PeerId, std::shared_ptr<const std::string>> held_up_;  // the next frame of a link that is full
};

}  // namespace jigsaw
