#include "core/transport/zmq_transport.h"

#include <map>
#include <set>
#include <utility>

#include "core/check.h"
#include "core/transport/zmq_gatekeeper.h"
#include "core/transport/zmq_socket.h"

namespace jigsaw {
namespace {

constexpr SocketLimits kLimits{.message_bytes_max = kMessageBytesMax, .queued_messages_max = kQueuedMessagesMax};
constexpr int kReceivedMessagesMax = 1024;          // of each worker, before the controller takes them
constexpr std::chrono::milliseconds kLinger{2000};  // last messages (a failure's reason) get this long to leave

class RouterTransport : public ServerTransport {
 public:
  RouterTransport(const CurveKeys& keys, std::span<const std::string> worker_keys, std::size_t received_bytes_max)
      : gatekeeper_(context_), router_(context_, zmq::socket_type::router) {
    for (std::size_t i = 0; i < worker_keys.size(); ++i) peers_by_key_[worker_keys[i]] = static_cast<PeerId>(i + 1);
    allow_known();
    set_common_options(router_, {received_bytes_max, kQueuedMessagesMax}, kLinger);
    // What is not taken yet stays with the worker that sent it, and fills its queue, not this process's memory.
    router_.set(zmq::sockopt::rcvhwm, kReceivedMessagesMax);
    router_.set(zmq::sockopt::router_mandatory, true);  // an absent peer is an error and no silence
    Gatekeeper::guard(router_, keys.secret_key);
    router_.bind("tcp://127.0.0.1:*");
  }

  std::string endpoint() const { return router_.get(zmq::sockopt::last_endpoint); }

  Status admit(PeerId worker, const std::string& public_key) override {
    if (!is_curve_key(public_key) || peers_by_key_.contains(public_key)) {
      return Error(ErrorCode::kInvalidArgument, "this is no key of a new worker");
    }
    peers_by_key_[public_key] = worker;
    allow_known();
    return ok_status();
  }

  Status send(PeerId to, std::string bytes) override {
    const auto identity = identities_.find(to);
    if (identity == identities_.end()) {
      return Error(ErrorCode::kUnavailable, "worker " + std::to_string(to) + " has not connected");
    }
    try {
      if (!router_.send(zmq::buffer(identity->second), zmq::send_flags::sndmore | zmq::send_flags::dontwait)) {
        return Error(ErrorCode::kResourceExhausted, "the queue to worker " + std::to_string(to) + " is full");
      }
      router_.send(zmq::buffer(bytes), zmq::send_flags::none);
    } catch (const zmq::error_t& error) {
      return zmq_failure("sending to worker " + std::to_string(to), error);
    }
    return ok_status();
  }

  Result<std::optional<ReceivedMessage>> receive(std::chrono::milliseconds wait) override {
    try {
      if (!wait_readable(router_, wait)) return std::optional<ReceivedMessage>();
      zmq::message_t identity, body;
      if (!router_.recv(identity) || !identity.more() || !router_.recv(body)) {
        return Error(ErrorCode::kCorrupt, "a message without a body");
      }
      drop_further_parts(router_, body);
      const auto sender = peers_by_key_.find(Gatekeeper::key_of_sender(body));
      if (sender == peers_by_key_.end()) return std::optional<ReceivedMessage>();
      const PeerId peer = sender->second;
      // A worker's connection has a new identity when it had to be made anew.
      identities_[peer] = identity.to_string();
      return std::optional<ReceivedMessage>(ReceivedMessage{peer, bytes_of(std::move(body))});
    } catch (const zmq::error_t& error) {
      return zmq_failure("receiving from the workers", error);
    }
  }

 private:
  void allow_known() {
    std::set<std::string> keys;
    for (const auto& [key, peer] : peers_by_key_) keys.insert(key);
    gatekeeper_.allow_only(std::move(keys));
  }

  zmq::context_t context_;
  Gatekeeper gatekeeper_;
  zmq::socket_t router_;
  std::map<std::string, PeerId> peers_by_key_;
  std::map<PeerId, std::string> identities_;
};

class DealerTransport : public Transport {
 public:
  DealerTransport(const CurveKeys& keys, const std::string& endpoint, const std::string& server_key)
      : dealer_(context_, zmq::socket_type::dealer) {
    set_common_options(dealer_, kLimits, kLinger);
    dealer_.set(zmq::sockopt::curve_serverkey, server_key);
    dealer_.set(zmq::sockopt::curve_publickey, keys.public_key);
    dealer_.set(zmq::sockopt::curve_secretkey, keys.secret_key);
    dealer_.connect(endpoint);
  }

  Status send(PeerId to, std::string bytes) override {
    CHECK(to == kControllerPeer);
    try {
      if (!dealer_.send(zmq::buffer(bytes), zmq::send_flags::dontwait)) {
        return Error(ErrorCode::kResourceExhausted, "the queue to the controller is full");
      }
    } catch (const zmq::error_t& error) {
      return zmq_failure("sending to the controller", error);
    }
    return ok_status();
  }

  Result<std::optional<ReceivedMessage>> receive(std::chrono::milliseconds wait) override {
    try {
      if (!wait_readable(dealer_, wait)) return std::optional<ReceivedMessage>();
      zmq::message_t body;
      if (!dealer_.recv(body)) return std::optional<ReceivedMessage>();
      return std::optional<ReceivedMessage>(ReceivedMessage{kControllerPeer, bytes_of(std::move(body))});
    } catch (const zmq::error_t& error) {
      return zmq_failure("receiving from the controller", error);
    }
  }

 private:
  zmq::context_t context_;
  zmq::socket_t dealer_;
};

}  // namespace

Result<ZmqServer> listen_for_workers(const CurveKeys& keys, std::span<const std::string> worker_keys,
                                     std::size_t received_bytes_max) {
  try {
    auto transport = std::make_unique<RouterTransport>(keys, worker_keys, received_bytes_max);
    std::string endpoint = transport->endpoint();
    return ZmqServer{std::move(transport), std::move(endpoint)};
  } catch (const zmq::error_t& error) {
    return zmq_failure("listening for workers on 127.0.0.1", error);
  }
}

Result<std::unique_ptr<Transport>> connect_to_controller(const CurveKeys& keys, const std::string& endpoint,
                                                         const std::string& controller_public_key) {
  try {
    return std::unique_ptr<Transport>(std::make_unique<DealerTransport>(keys, endpoint, controller_public_key));
  } catch (const zmq::error_t& error) {
    return zmq_failure("connecting to the controller at " + endpoint, error);
  }
}

}  // namespace jigsaw
