#include "core/transport/zmq_socket.h"

#include <cerrno>
#include <utility>

namespace jigsaw {
namespace {

constexpr std::chrono::milliseconds kHeartbeatEvery{1000};
constexpr std::chrono::milliseconds kHeartbeatTimeout{5000};
// A refused handshake is not answered, it only ends; then its client tries again.
constexpr std::chrono::milliseconds kHandshakeMax{3000};
constexpr std::chrono::milliseconds kReconnectMax{1000};
constexpr std::size_t kFrameOverheadMax = 64;  // of CURVE: command name, nonce, authenticator

int to_int(std::chrono::milliseconds time) { return static_cast<int>(time.count()); }

}  // namespace

void set_common_options(zmq::socket_t& socket, const SocketLimits& limits, std::chrono::milliseconds linger) {
  socket.set(zmq::sockopt::maxmsgsize, static_cast<std::int64_t>(limits.message_bytes_max + kFrameOverheadMax));
  socket.set(zmq::sockopt::sndhwm, limits.queued_messages_max);
  socket.set(zmq::sockopt::rcvhwm, limits.queued_messages_max);
  socket.set(zmq::sockopt::linger, to_int(linger));
  socket.set(zmq::sockopt::heartbeat_ivl, to_int(kHeartbeatEvery));
  socket.set(zmq::sockopt::heartbeat_timeout, to_int(kHeartbeatTimeout));
  socket.set(zmq::sockopt::heartbeat_ttl, to_int(kHeartbeatTimeout));
  socket.set(zmq::sockopt::handshake_ivl, to_int(kHandshakeMax));
  socket.set(zmq::sockopt::reconnect_ivl_max, to_int(kReconnectMax));
}

bool wait_readable(zmq::socket_t& socket, std::chrono::milliseconds wait) {
  zmq::pollitem_t item{socket.handle(), 0, ZMQ_POLLIN, 0};
  try {
    return zmq::poll(&item, 1, wait) > 0;
  } catch (const zmq::error_t& error) {
    if (error.num() == EINTR) return false;
    throw;
  }
}

void drop_further_parts(zmq::socket_t& socket, const zmq::message_t& last) {
  bool more = last.more();
  while (more) {
    zmq::message_t extra;
    if (!socket.recv(extra, zmq::recv_flags::dontwait)) return;
    more = extra.more();
  }
}

MessageBytes bytes_of(zmq::message_t message) {
  const auto held = std::make_shared<zmq::message_t>(std::move(message));
  return {held, held->to_string_view()};
}

zmq::message_t message_over(std::shared_ptr<const std::string> bytes) {
  using Held = std::shared_ptr<const std::string>;
  const std::string& memory = *bytes;
  return zmq::message_t(
      const_cast<char*>(memory.data()), memory.size(), [](void*, void* hint) { delete static_cast<Held*>(hint); },
      new Held(std::move(bytes)));
}

Error zmq_failure(const std::string& doing, const zmq::error_t& error) {
  return Error(ErrorCode::kUnavailable, doing + ": " + error.what());
}

}  // namespace jigsaw
