// Workers of one process: links that are bounded queues. Each worker's links may be in a thread of its own.
#pragma once

#include <memory>
#include <vector>

#include "core/bounded_queue.h"
#include "core/transport/peer_links.h"

namespace jigsaw {

class InprocLinkHub {
 public:
  // Of workers 1..num_workers; an inbox holds `queued_messages_max`.
  explicit InprocLinkHub(int num_workers, int queued_messages_max = kLinkQueuedMessagesMax);
  ~InprocLinkHub();
  // The hub outlives its links. Their endpoints and keys are names that mean something in this hub alone.
  std::unique_ptr<PeerLinks> links(PeerId worker);
  // Of every worker, for set_peers.
  std::vector<PeerAddress> addresses() const;

 private:
  class Links;
  BoundedQueue<ReceivedMessage>& inbox(PeerId worker);
  std::vector<std::unique_ptr<BoundedQueue<ReceivedMessage>>> inboxes_;
};

}  // namespace jigsaw
