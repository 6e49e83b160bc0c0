#include <bit>
#include <map>
#include <set>
#include <utility>

#include "core/log.h"
#include "core/transport/peer_links.h"
#include "core/transport/zmq_gatekeeper.h"
#include "core/transport/zmq_socket.h"

namespace jigsaw {
namespace {

constexpr SocketLimits kLimits{.message_bytes_max = kLinkMessageBytesMax,
                               .queued_messages_max = kLinkQueuedMessagesMax};
constexpr std::chrono::milliseconds kLinger{1000};  // the last acknowledgements get this long to leave
constexpr int kDropsPerReceiveMax = 64;

Status check_address(const PeerAddress& peer) {
  const std::string who = "worker " + std::to_string(peer.worker);
  if (!is_curve_key(peer.public_key)) return Error(ErrorCode::kInvalidArgument, who + ": its public key is none");
  if (!peer.endpoint.starts_with("tcp://")) {
    return Error(ErrorCode::kInvalidArgument, who + ": '" + peer.endpoint + "' is no endpoint (tcp://ADDRESS:PORT)");
  }
  return ok_status();
}

class ZmqPeerLinks final : public PeerLinks {
 public:
  explicit ZmqPeerLinks(CurveKeys keys)
      : keys_(std::move(keys)), gatekeeper_(context_), listener_(context_, zmq::socket_type::pull) {
    set_common_options(listener_, kLimits, kLinger);
    Gatekeeper::guard(listener_, keys_.secret_key);
    listener_.bind("tcp://127.0.0.1:*");
  }

  std::string endpoint() const override { return listener_.get(zmq::sockopt::last_endpoint); }
  std::string public_key() const override { return keys_.public_key; }
  std::size_t num_dropped() const override { return num_dropped_; }

  Status set_peers(std::span<const PeerAddress> peers) override {
    std::map<PeerId, PeerAddress> members;
    std::map<std::string, PeerId> workers_by_key;
    std::set<std::string> keys;
    for (const PeerAddress& peer : peers) {
      JIGSAW_RETURN_IF_ERROR(check_address(peer));
      if (peer.public_key == keys_.public_key) continue;
      members[peer.worker] = peer;
      workers_by_key[peer.public_key] = peer.worker;
      keys.insert(peer.public_key);
    }
    for (auto link = outgoing_.begin(); link != outgoing_.end();) {
      const auto now = members.find(link->first);
      if (now != members.end() && now->second == members_.at(link->first)) {
        ++link;
        continue;
      }
      link->second.set(zmq::sockopt::linger, 0);
      link = outgoing_.erase(link);
    }
    members_ = std::move(members);
    workers_by_key_ = std::move(workers_by_key);
    gatekeeper_.allow_only(std::move(keys));
    return ok_status();
  }

  Status try_send_shared(PeerId to, std::shared_ptr<const std::string> bytes) override {
    zmq::message_t message = message_over(std::move(bytes));
    return send_message(to, message);
  }

  Result<std::optional<ReceivedMessage>> receive(std::chrono::milliseconds wait) override {
    try {
      for (int i = 0; i < kDropsPerReceiveMax && wait_readable(listener_, wait); ++i) {
        wait = std::chrono::milliseconds(0);
        zmq::message_t body;
        if (!listener_.recv(body, zmq::recv_flags::dontwait)) break;
        const bool is_ours = !body.more();
        drop_further_parts(listener_, body);
        const auto sender = workers_by_key_.find(Gatekeeper::key_of_sender(body));
        if (is_ours && sender != workers_by_key_.end()) {
          return std::optional<ReceivedMessage>(ReceivedMessage{sender->second, bytes_of(std::move(body))});
        }
        note_dropped();
      }
    } catch (const zmq::error_t& error) {
      return zmq_failure("receiving from other workers", error);
    }
    return std::optional<ReceivedMessage>();
  }

 private:
  // Takes the message on success only.
  Status send_message(PeerId to, zmq::message_t& message) {
    if (message.size() > kLinkMessageBytesMax) {
      return Error(ErrorCode::kInvalidArgument,
                   "a message of " + std::to_string(message.size()) + " bytes is too large for a link between workers");
    }
    const auto peer = members_.find(to);
    if (peer == members_.end()) {
      return Error(ErrorCode::kUnavailable, "worker " + std::to_string(to) + " is no member");
    }
    try {
      if (link_to(peer->second).send(message, zmq::send_flags::dontwait)) return ok_status();
    } catch (const zmq::error_t& error) {
      return zmq_failure("sending to worker " + std::to_string(to), error);
    }
    return Error(ErrorCode::kResourceExhausted, "the link to worker " + std::to_string(to) + " is full");
  }

  zmq::socket_t& link_to(const PeerAddress& peer) {
    const auto link = outgoing_.find(peer.worker);
    if (link != outgoing_.end()) return link->second;
    zmq::socket_t socket(context_, zmq::socket_type::push);
    set_common_options(socket, kLimits, kLinger);
    socket.set(zmq::sockopt::curve_serverkey, peer.public_key);
    socket.set(zmq::sockopt::curve_publickey, keys_.public_key);
    socket.set(zmq::sockopt::curve_secretkey, keys_.secret_key);
    socket.connect(peer.endpoint);
    return outgoing_.emplace(peer.worker, std::move(socket)).first->second;
  }

  void note_dropped() {
    if (!std::has_single_bit(++num_dropped_)) return;  // a line for the 1st, 2nd, 4th, 8th ...
    log_warning("link.dropped", "messages={} reason=\"not from a member\"", num_dropped_);
  }

  CurveKeys keys_;
  zmq::context_t context_;
  Gatekeeper gatekeeper_;
  zmq::socket_t listener_;
  std::map<PeerId, PeerAddress> members_;
  std::map<std::string, PeerId> workers_by_key_;
  std::map<PeerId, zmq::socket_t> outgoing_;  // those that were sent something
  std::size_t num_dropped_ = 0;
};

}  // namespace

Result<std::unique_ptr<PeerLinks>> open_peer_links(const CurveKeys& keys) {
  try {
    return std::unique_ptr<PeerLinks>(std::make_unique<ZmqPeerLinks>(keys));
  } catch (const zmq::error_t& error) {
    return zmq_failure("listening for other workers on 127.0.0.1", error);
  }
}

}  // namespace jigsaw
