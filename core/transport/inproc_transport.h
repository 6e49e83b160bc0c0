// Controller and workers in one process: bounded queues. For `--workers 0` and tests. Each endpoint may be used by one
// thread; all endpoints of a hub may be in different threads.
#pragma once

#include <memory>
#include <vector>

#include "core/bounded_queue.h"
#include "core/transport/transport.h"

namespace jigsaw {

class InprocHub {
 public:
  explicit InprocHub(int num_workers);
  ~InprocHub();
  // Peer 0 is the controller, 1..num_workers the workers. The hub outlives its endpoints.
  std::unique_ptr<Transport> endpoint(PeerId peer);

 private:
  class Endpoint;
  std::vector<std::unique_ptr<BoundedQueue<ReceivedMessage>>> inboxes_;
};

}  // namespace jigsaw
