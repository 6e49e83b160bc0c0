#include "core/transport/zmq_gatekeeper.h"

#include <zmq.h>

#include <chrono>
#include <utility>
#include <vector>

#include "core/transport/zmq_socket.h"

namespace jigsaw {
namespace {

constexpr char kZapAddress[] = "inproc://zeromq.zap.01";
constexpr std::chrono::milliseconds kPoll{100};

}  // namespace

Gatekeeper::Gatekeeper(zmq::context_t& context) : socket_(context, zmq::socket_type::rep) {
  socket_.set(zmq::sockopt::linger, 0);
  socket_.bind(kZapAddress);
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

Gatekeeper::~Gatekeeper() = default;

void Gatekeeper::allow_only(std::set<std::string> public_keys) {
  std::lock_guard lock(mutex_);
  allowed_ = std::move(public_keys);
}

void Gatekeeper::guard(zmq::socket_t& socket, const std::string& secret_key) {
  socket.set(zmq::sockopt::curve_server, true);
  socket.set(zmq::sockopt::curve_secretkey, secret_key);
  socket.set(zmq::sockopt::zap_domain, "jigsaw");
}

std::string Gatekeeper::key_of_sender(zmq::message_t& message) { return message.gets("User-Id"); }

bool Gatekeeper::is_allowed(const std::string& public_key) {
  std::lock_guard lock(mutex_);
  return allowed_.contains(public_key);
}

void Gatekeeper::run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    try {
      if (wait_readable(socket_, kPoll)) answer();
    } catch (const zmq::error_t&) {
      return;  // the context is going away
    }
  }
}

void Gatekeeper::answer() {
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
    if (is_allowed(text)) user = text;
  }
  // 300, "temporary": on a 400 ZeroMQ's client would never try again, though it may become a member later.
  const std::string replies[] = {
      "1.0", parts.size() > 1 ? parts[1] : "", user.empty() ? "300" : "200", user.empty() ? "unknown key" : "OK", user,
      ""};
  for (std::size_t i = 0; i < std::size(replies); ++i) {
    socket_.send(zmq::buffer(replies[i]),
                 i + 1 < std::size(replies) ? zmq::send_flags::sndmore : zmq::send_flags::none);
  }
}

}  // namespace jigsaw
