#include "core/transport/zmq_transport.h"

#include <zmq.h>

#include <cerrno>
#include <map>
#include <stop_token>
#include <thread>
#include <utility>
#include <zmq.hpp>

#include "core/check.h"

namespace jigsaw {
namespace {

constexpr char kZapAddress[] = "inproc://zeromq.zap.01";
constexpr std::chrono::milliseconds kLinger{2000};  // last messages (a failure's reason) get this long to leave
constexpr std::chrono::milliseconds kZapPoll{100};

Error zmq_failure(const std::string& doing, const zmq::error_t& error) {
  return Error(ErrorCode::kUnavailable, doing + ": " + error.what());
}

void set_common_options(zmq::socket_t& socket) {
  socket.set(zmq::sockopt::maxmsgsize, static_cast<std::int64_t>(kMessageBytesMax));
  socket.set(zmq::sockopt::sndhwm, kQueuedMessagesMax);
  socket.set(zmq::sockopt::rcvhwm, kQueuedMessagesMax);
  socket.set(zmq::sockopt::linger, static_cast<int>(kLinger.count()));
}

// Waits up to `wait` for a message; false if none came, also when a signal (Ctrl-C) ends the wait early.
bool wait_readable(zmq::socket_t& socket, std::chrono::milliseconds wait) {
  zmq::pollitem_t item{socket.handle(), 0, ZMQ_POLLIN, 0};
  try {
    return zmq::poll(&item, 1, wait) > 0;
  } catch (const zmq::error_t& error) {
    if (error.num() == EINTR) return false;
    throw;
  }
}

// Answers ZeroMQ's authentication requests (RFC 27): a CURVE key is let in if it is listed, and becomes that worker's
// user id, so that a message's sender is known by its key and not by what it claims.
class Gatekeeper {
 public:
  Gatekeeper(zmq::context_t& context, std::map<std::string, PeerId> peers_by_key)
      : socket_(context, zmq::socket_type::rep), peers_by_key_(std::move(peers_by_key)) {
    socket_.set(zmq::sockopt::linger, 0);
    socket_.bind(kZapAddress);
    thread_ = std::jthread([this](std::stop_token stop) { run(stop); });
  }

 private:
  void run(std::stop_token stop) {
    while (!stop.stop_requested()) {
      try {
        if (wait_readable(socket_, kZapPoll)) answer();
      } catch (const zmq::error_t&) {
        return;  // the context is going away
      }
    }
  }

  void answer() {
    // version, request id, domain, address, identity, mechanism, credentials...
    std::vector<std::string> parts;
    bool more = true;
    while (more) {
      zmq::message_t part;
      if (!socket_.recv(part)) return;
      parts.push_back(part.to_string());
      more = part.more();
    }
    std::string user;
    if (parts.size() == 7 && parts[5] == "CURVE" && parts[6].size() == 32) {
      char text[41];
      zmq_z85_encode(text, reinterpret_cast<const std::uint8_t*>(parts[6].data()), 32);
      if (auto peer = peers_by_key_.find(text); peer != peers_by_key_.end()) user = std::to_string(peer->second);
    }
    const std::string replies[] = {"1.0",
                                   parts.size() > 1 ? parts[1] : "",
                                   user.empty() ? "400" : "200",
                                   user.empty() ? "unknown key" : "OK",
                                   user,
                                   ""};
    for (std::size_t i = 0; i < std::size(replies); ++i) {
      socket_.send(zmq::buffer(replies[i]),
                   i + 1 < std::size(replies) ? zmq::send_flags::sndmore : zmq::send_flags::none);
    }
  }

  zmq::socket_t socket_;
  std::map<std::string, PeerId> peers_by_key_;
  std::jthread thread_;
};

class RouterTransport : public Transport {
 public:
  RouterTransport(const CurveKeys& keys, std::span<const std::string> worker_keys)
      : router_(context_, zmq::socket_type::router) {
    std::map<std::string, PeerId> peers_by_key;
    for (std::size_t i = 0; i < worker_keys.size(); ++i) peers_by_key[worker_keys[i]] = static_cast<PeerId>(i + 1);
    gatekeeper_ = std::make_unique<Gatekeeper>(context_, std::move(peers_by_key));
    set_common_options(router_);
    router_.set(zmq::sockopt::router_mandatory, true);  // an absent peer is an error and no silence
    router_.set(zmq::sockopt::curve_server, true);
    router_.set(zmq::sockopt::curve_secretkey, keys.secret_key);
    router_.set(zmq::sockopt::zap_domain, "jigsaw");
    router_.bind("tcp://127.0.0.1:*");
  }

  std::string endpoint() const { return router_.get(zmq::sockopt::last_endpoint); }

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
      bool more = body.more();
      while (more) {  // no message of ours has further parts
        zmq::message_t extra;
        if (!router_.recv(extra)) break;
        more = extra.more();
      }
      const char* user = body.gets("User-Id");
      const PeerId peer = static_cast<PeerId>(std::stoul(user));
      identities_[peer] = identity.to_string();
      return std::optional<ReceivedMessage>(ReceivedMessage{peer, body.to_string()});
    } catch (const zmq::error_t& error) {
      return zmq_failure("receiving from the workers", error);
    }
  }

 private:
  zmq::context_t context_;
  std::unique_ptr<Gatekeeper> gatekeeper_;
  zmq::socket_t router_;
  std::map<PeerId, std::string> identities_;
};

class DealerTransport : public Transport {
 public:
  DealerTransport(PeerId self, const CurveKeys& keys, const std::string& endpoint, const std::string& server_key)
      : dealer_(context_, zmq::socket_type::dealer) {
    set_common_options(dealer_);
    dealer_.set(zmq::sockopt::routing_id, "worker-" + std::to_string(self));
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
      return std::optional<ReceivedMessage>(ReceivedMessage{kControllerPeer, body.to_string()});
    } catch (const zmq::error_t& error) {
      return zmq_failure("receiving from the controller", error);
    }
  }

 private:
  zmq::context_t context_;
  zmq::socket_t dealer_;
};

}  // namespace

Result<CurveKeys> make_curve_keys() {
  char public_key[41], secret_key[41];
  if (zmq_curve_keypair(public_key, secret_key) != 0) {
    return Error(ErrorCode::kUnsupported, "this ZeroMQ cannot make CURVE keys: install one built with libsodium");
  }
  return CurveKeys{public_key, secret_key};
}

Result<ZmqServer> listen_for_workers(const CurveKeys& keys, std::span<const std::string> worker_keys) {
  try {
    auto transport = std::make_unique<RouterTransport>(keys, worker_keys);
    std::string endpoint = transport->endpoint();
    return ZmqServer{std::move(transport), std::move(endpoint)};
  } catch (const zmq::error_t& error) {
    return zmq_failure("listening for workers on 127.0.0.1", error);
  }
}

Result<std::unique_ptr<Transport>> connect_to_controller(PeerId self, const CurveKeys& keys,
                                                         const std::string& endpoint,
                                                         const std::string& controller_public_key) {
  try {
    return std::unique_ptr<Transport>(std::make_unique<DealerTransport>(self, keys, endpoint, controller_public_key));
  } catch (const zmq::error_t& error) {
    return zmq_failure("connecting to the controller at " + endpoint, error);
  }
}

}  // namespace jigsaw
