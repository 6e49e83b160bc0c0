#include "core/transport/plain_links.h"

#include <algorithm>
#include <chrono>
#include <thread>
#include <zmq.hpp>

#include "core/transport/zmq_socket.h"

namespace jigsaw {
namespace {

class PlainLinks final : public PeerLinks {
 public:
  explicit PlainLinks(PeerId peer)
      : peer_(peer), listener_(context_, zmq::socket_type::pull), outgoing_(context_, zmq::socket_type::push) {
    listener_.set(zmq::sockopt::rcvhwm, kLinkQueuedMessagesMax);
    outgoing_.set(zmq::sockopt::sndhwm, kLinkQueuedMessagesMax);
    listener_.bind("tcp://127.0.0.1:*");
  }
  void connect(const PlainLinks& to) { outgoing_.connect(to.endpoint()); }

  std::string endpoint() const override { return listener_.get(zmq::sockopt::last_endpoint); }
  std::string public_key() const override { return ""; }
  Status set_peers(std::span<const PeerAddress>) override { return ok_status(); }
  std::size_t num_dropped() const override { return 0; }

  Status try_send_shared(PeerId, std::shared_ptr<const std::string> bytes) override {
    zmq::message_t message = message_over(std::move(bytes));
    if (outgoing_.send(message, zmq::send_flags::dontwait)) return ok_status();
    return Error(ErrorCode::kResourceExhausted, "the link is full");
  }
  Result<std::optional<ReceivedMessage>> receive(std::chrono::milliseconds wait) override {
    zmq::pollitem_t item{listener_.handle(), 0, ZMQ_POLLIN, 0};
    zmq::message_t message;
    if (zmq::poll(&item, 1, wait) == 0 || !listener_.recv(message, zmq::recv_flags::dontwait)) {
      return std::optional<ReceivedMessage>();
    }
    return std::optional<ReceivedMessage>({peer_, bytes_of(std::move(message))});
  }

 private:
  PeerId peer_;
  zmq::context_t context_;
  zmq::socket_t listener_, outgoing_;
};

}  // namespace

Result<std::pair<std::unique_ptr<PeerLinks>, std::unique_ptr<PeerLinks>>> open_plain_links() {
  try {
    auto first = std::make_unique<PlainLinks>(2), second = std::make_unique<PlainLinks>(1);
    first->connect(*second);
    second->connect(*first);
    return std::pair<std::unique_ptr<PeerLinks>, std::unique_ptr<PeerLinks>>(std::move(first), std::move(second));
  } catch (const zmq::error_t& error) {
    return Error(ErrorCode::kInternal, std::string("links on 127.0.0.1: ") + error.what());
  }
}

Result<double> measure_plain_stream(std::size_t num_bytes, std::size_t message_bytes) {
  try {
    zmq::context_t source_context, target_context;
    zmq::socket_t source(source_context, zmq::socket_type::push), target(target_context, zmq::socket_type::pull);
    target.bind("tcp://127.0.0.1:*");
    source.connect(target.get(zmq::sockopt::last_endpoint));
    const std::string bytes(message_bytes, 'x');
    const std::size_t count = std::max<std::size_t>(1, num_bytes / message_bytes);
    const auto send = [&] {
      source.send(zmq::message_t(const_cast<char*>(bytes.data()), bytes.size(), [](void*, void*) {}),
                  zmq::send_flags::none);
    };
    zmq::message_t message;
    send();  // makes the connection
    (void)target.recv(message);
    const auto begin = std::chrono::steady_clock::now();
    const std::jthread sender([&] {
      for (std::size_t i = 0; i < count; ++i) send();
    });
    for (std::size_t i = 0; i < count; ++i) (void)target.recv(message);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    return static_cast<double>(count * message_bytes) / took.count();
  } catch (const zmq::error_t& error) {
    return Error(ErrorCode::kInternal, std::string("a stream over 127.0.0.1: ") + error.what());
  }
}

}  // namespace jigsaw
