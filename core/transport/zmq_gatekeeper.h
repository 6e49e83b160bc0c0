// Answers ZeroMQ's authentication requests (RFC 27, ZAP) for all sockets of a context: a CURVE key is let in while it
// is on the list, and becomes the connection's user id, so that a message's sender is known by its key and not by what
// it claims. Only for the sources of this folder.
#pragma once

#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <zmq.hpp>

namespace jigsaw {

class Gatekeeper {
 public:
  // Throws zmq::error_t. Before any socket of `context` is bound; the context outlives the gatekeeper.
  explicit Gatekeeper(zmq::context_t& context);
  ~Gatekeeper();
  Gatekeeper(const Gatekeeper&) = delete;
  Gatekeeper& operator=(const Gatekeeper&) = delete;

  // Any thread. Connections that stand already stay: whoever receives looks at the key of each message.
  void allow_only(std::set<std::string> public_keys);
  // Makes a socket a CURVE server that asks this gatekeeper; before it is bound.
  static void guard(zmq::socket_t& socket, const std::string& secret_key);
  // The key of whoever sent it.
  static std::string key_of_sender(zmq::message_t& message);

 private:
  void run(const std::stop_token& stop);
  void answer();
  bool is_allowed(const std::string& public_key);

  zmq::socket_t socket_;
  std::mutex mutex_;
  std::set<std::string> allowed_;
  std::jthread thread_;
};

}  // namespace jigsaw
