// Links between workers that are a list of messages, for a test to carry, lose, double and reorder.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "core/transport/peer_links.h"
#include "core/wire/peer_messages.pb.h"

namespace jigsaw {

struct Message {
  PeerId from, to;
  wire::PeerMessage content;
};
using Network = std::deque<Message>;  // on their way

// Takes `room` messages until the network has carried some.
class FakeLinks : public PeerLinks {
 public:
  FakeLinks(PeerId self, Network& network) : self_(self), network_(network) {}
  std::string endpoint() const override { return ""; }
  std::string public_key() const override { return ""; }
  Status set_peers(std::span<const PeerAddress>) override { return ok_status(); }
  Status try_send(PeerId to, std::string& bytes) override {
    if (network_.size() >= 6) return Error(ErrorCode::kResourceExhausted, "full");
    Message message{self_, to, {}};
    EXPECT_TRUE(message.content.ParseFromString(std::exchange(bytes, "")));
    network_.push_back(std::move(message));
    return ok_status();
  }
  Status try_send_shared(PeerId to, std::shared_ptr<const std::string> bytes) override {
    std::string copy = *bytes;
    return try_send(to, copy);
  }
  Result<std::optional<ReceivedMessage>> receive(std::chrono::milliseconds) override {
    return std::optional<ReceivedMessage>();
  }
  std::size_t num_dropped() const override { return 0; }

 private:
  PeerId self_;
  Network& network_;
};

}  // namespace jigsaw
