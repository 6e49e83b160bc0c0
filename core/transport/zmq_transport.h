// Transport over ZeroMQ with CURVE: the controller binds a ROUTER on the loopback, each worker connects a DEALER. Only
// peers whose public key the controller was told (over MPI, at start) get in; everyone else is turned away in the
// handshake. An endpoint belongs to the thread that made it.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/transport/curve_keys.h"
#include "core/transport/transport.h"

namespace jigsaw {

class ServerTransport : public Transport {
 public:
  // From now on lets in whoever has this key, as worker `worker`. kInvalidArgument when it cannot be a key.
  virtual Status admit(PeerId worker, const std::string& public_key) = 0;
};
struct ZmqServer {
  std::unique_ptr<ServerTransport> transport;
  std::string endpoint;  // "tcp://127.0.0.1:PORT", for the workers
};
// worker_keys[i] is the public key of worker i + 1. Whoever sends a message larger than `received_bytes_max` loses its
// connection.
Result<ZmqServer> listen_for_workers(const CurveKeys& keys, std::span<const std::string> worker_keys,
                                     std::size_t received_bytes_max = kMessageBytesMax);

Result<std::unique_ptr<Transport>> connect_to_controller(const CurveKeys& keys, const std::string& endpoint,
                                                         const std::string& controller_public_key);

}  // namespace jigsaw
