#include "core/transport/inproc_transport.h"

#include <utility>

#include "core/check.h"

namespace jigsaw {

class InprocHub::Endpoint : public Transport {
 public:
  Endpoint(InprocHub& hub, PeerId self) : hub_(hub), self_(self) {}

  Status send(PeerId to, std::string bytes) override {
    CHECK(to < hub_.inboxes_.size());
    if (!hub_.inboxes_[to]->push({self_, std::move(bytes)})) {
      return Error(ErrorCode::kResourceExhausted, "the inbox of peer " + std::to_string(to) + " is full");
    }
    return ok_status();
  }

  Result<std::optional<ReceivedMessage>> receive(std::chrono::milliseconds wait) override {
    return hub_.inboxes_[self_]->pop(wait);
  }

 private:
  InprocHub& hub_;
  PeerId self_;
};

InprocHub::InprocHub(int num_workers) {
  for (int peer = 0; peer <= num_workers; ++peer) {
    inboxes_.push_back(std::make_unique<BoundedQueue<ReceivedMessage>>(kQueuedMessagesMax));
  }
}

InprocHub::~InprocHub() = default;

std::unique_ptr<Transport> InprocHub::endpoint(PeerId peer) {
  CHECK(peer < inboxes_.size());
  return std::make_unique<Endpoint>(*this, peer);
}

}  // namespace jigsaw
