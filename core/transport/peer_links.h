// Links between workers, for what does not pass the controller: moving sequences, and gradients after a loss. Each
// worker listens, and connects to a peer when it first has something for it. Only members get in: whose public key the
// controller named. A message's sender is known by its key.
//
// One thread owns the links. Messages of one peer arrive in the order sent, but may be lost when a connection breaks or
// membership changes: whoever uses the links makes up for that.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "core/transport/curve_keys.h"
#include "core/transport/transport.h"

namespace jigsaw {

// Links carry much data in small messages: neither side ever holds more than the product of the two for a peer.
inline constexpr std::size_t kLinkMessageBytesMax = std::size_t{2} << 20;
inline constexpr int kLinkQueuedMessagesMax = 32;

struct PeerAddress {
  PeerId worker = 0;
  std::string endpoint;    // as PeerLinks::endpoint() of that worker
  std::string public_key;  // Z85
  bool operator==(const PeerAddress&) const = default;
};

class PeerLinks : public Transport {
 public:
  // Where this worker listens, for its peers' PeerAddress.
  virtual std::string endpoint() const = 0;
  virtual std::string public_key() const = 0;

  // The members from now on, any number of times; may name this worker itself, which is left out. A link to a peer that
  // stays as it was goes on. What was queued for the others is dropped, and so is what they send from now on.
  // kInvalidArgument, and no change, when an address cannot be one.
  virtual Status set_peers(std::span<const PeerAddress> peers) = 0;

  // Queues the message, and moves `bytes` away on success only: on kResourceExhausted (the queue is full, or its peer
  // does not take anything just now) the caller keeps it and tries again later. kUnavailable: `to` is no member.
  // kInvalidArgument: larger than kLinkMessageBytesMax.
  virtual Status try_send(PeerId to, std::string& bytes) {
    auto shared = std::make_shared<std::string>(std::move(bytes));
    Status status = try_send_shared(to, shared);
    if (!status.ok()) bytes = std::move(*shared);  // nobody else has it
    return status;
  }
  Status send(PeerId to, std::string bytes) final { return try_send(to, bytes); }
  // The same for bytes that may have to be sent again: they are shared for as long as they are on the way.
  virtual Status try_send_shared(PeerId to, std::shared_ptr<const std::string> bytes) = 0;

  // Messages that were dropped because their sender is no member.
  virtual std::size_t num_dropped() const = 0;
};

// Over ZeroMQ with CURVE on the loopback: a PULL socket to listen, a PUSH socket to each peer. Each connection carries
// one direction, so that nothing but the listening socket ever reads what others sent.
Result<std::unique_ptr<PeerLinks>> open_peer_links(const CurveKeys& keys);

}  // namespace jigsaw
