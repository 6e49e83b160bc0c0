#include "core/transport/inproc_peer_links.h"

#include <set>
#include <utility>

#include "core/check.h"

namespace jigsaw {
namespace {

PeerAddress address_of(PeerId worker) {
  const std::string number = std::to_string(worker);
  return {.worker = worker, .endpoint = "inproc-" + number, .public_key = "key-" + number};
}

}  // namespace

class InprocLinkHub::Links final : public PeerLinks {
 public:
  Links(InprocLinkHub& hub, PeerId self) : hub_(hub), self_(self) {}

  std::string endpoint() const override { return address_of(self_).endpoint; }
  std::string public_key() const override { return address_of(self_).public_key; }
  std::size_t num_dropped() const override { return num_dropped_; }

  Status set_peers(std::span<const PeerAddress> peers) override {
    std::set<PeerId> members;
    for (const PeerAddress& peer : peers) {
      if (peer.worker < 1 || peer.worker > hub_.inboxes_.size() || peer != address_of(peer.worker)) {
        return Error(ErrorCode::kInvalidArgument, "'" + peer.endpoint + "' is no endpoint of this process");
      }
      if (peer.worker != self_) members.insert(peer.worker);
    }
    members_ = std::move(members);
    return ok_status();
  }

  Status try_send_shared(PeerId to, std::shared_ptr<const std::string> bytes) override {
    if (bytes->size() > kLinkMessageBytesMax) {
      return Error(ErrorCode::kInvalidArgument,
                   "a message of " + std::to_string(bytes->size()) + " bytes is too large for a link between workers");
    }
    if (!members_.contains(to)) {
      return Error(ErrorCode::kUnavailable, "worker " + std::to_string(to) + " is no member");
    }
    const std::string_view view = *bytes;
    if (hub_.inbox(to).push({self_, MessageBytes(std::move(bytes), view)})) return ok_status();
    return Error(ErrorCode::kResourceExhausted, "the link to worker " + std::to_string(to) + " is full");
  }

  Result<std::optional<ReceivedMessage>> receive(std::chrono::milliseconds wait) override {
    std::optional<ReceivedMessage> message = hub_.inbox(self_).pop(wait);
    while (message && !members_.contains(message->from)) {
      ++num_dropped_;
      message = hub_.inbox(self_).pop(std::chrono::milliseconds(0));
    }
    return message;
  }

 private:
  InprocLinkHub& hub_;
  PeerId self_;
  std::set<PeerId> members_;
  std::size_t num_dropped_ = 0;
};

InprocLinkHub::InprocLinkHub(int num_workers, int queued_messages_max) {
  CHECK(num_workers >= 1 && queued_messages_max >= 1);
  for (int worker = 1; worker <= num_workers; ++worker) {
    inboxes_.push_back(std::make_unique<BoundedQueue<ReceivedMessage>>(static_cast<std::size_t>(queued_messages_max)));
  }
}

InprocLinkHub::~InprocLinkHub() = default;

BoundedQueue<ReceivedMessage>& InprocLinkHub::inbox(PeerId worker) { return *inboxes_.at(worker - 1); }

std::unique_ptr<PeerLinks> InprocLinkHub::links(PeerId worker) {
  CHECK(worker >= 1 && worker <= inboxes_.size());
  return std::make_unique<Links>(*this, worker);
}

std::vector<PeerAddress> InprocLinkHub::addresses() const {
  std::vector<PeerAddress> addresses;
  for (PeerId worker = 1; worker <= inboxes_.size(); ++worker) addresses.push_back(address_of(worker));
  return addresses;
}

}  // namespace jigsaw
