#include "core/transport/peer_links.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <zmq.hpp>

#include "core/transport/inproc_peer_links.h"

namespace jigsaw {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

constexpr seconds kLong{20};
constexpr milliseconds kShort{300};
constexpr int kSendsMax = 10 * kLinkQueuedMessagesMax;

// The next message; links may come back early from a wait.
std::optional<ReceivedMessage> next_message(PeerLinks& links, milliseconds wait) {
  const auto deadline = std::chrono::steady_clock::now() + wait;
  while (std::chrono::steady_clock::now() < deadline) {
    auto received = links.receive(milliseconds(50));
    EXPECT_TRUE(received.ok());
    if (!received.ok() || *received) return received.ok() ? *received : std::nullopt;
  }
  return std::nullopt;
}

void expect_message(PeerLinks& links, PeerId from, const std::string& bytes) {
  const auto received = next_message(links, kLong);
  ASSERT_TRUE(received.has_value());
  EXPECT_EQ(received->from, from);
  EXPECT_EQ(received->bytes, bytes);
}

// Workers 1 and 2, and 3 whose key nobody lists.
class ZmqPeerLinksTest : public testing::Test {
 protected:
  ZmqPeerLinksTest() {
    for (PeerId worker = 1; worker <= 3; ++worker) {
      keys_.push_back(*make_curve_keys());
      links_.push_back(*open_peer_links(keys_.back()));
      addresses_.push_back({worker, links_.back()->endpoint(), links_.back()->public_key()});
    }
    const std::vector<PeerAddress> members = {addresses_[0], addresses_[1]};
    for (std::size_t i = 0; i < 2; ++i) EXPECT_TRUE(links_[i]->set_peers(members).ok());
  }
  PeerLinks& of(PeerId worker) { return *links_[worker - 1]; }

  std::vector<CurveKeys> keys_;
  std::vector<std::unique_ptr<PeerLinks>> links_;
  std::vector<PeerAddress> addresses_;
};

TEST_F(ZmqPeerLinksTest, MembersReachEachOtherInOrder) {
  EXPECT_THAT(of(1).endpoint(), testing::StartsWith("tcp://127.0.0.1:"));
  const std::string large(kLinkMessageBytesMax, 'x');
  ASSERT_TRUE(of(1).send(2, "first").ok());
  ASSERT_TRUE(of(1).send(2, large).ok());
  ASSERT_TRUE(of(2).send(1, "back").ok());
  expect_message(of(2), 1, "first");
  expect_message(of(2), 1, large);
  expect_message(of(1), 2, "back");
}

TEST_F(ZmqPeerLinksTest, AStrangerGetsNothingInAndAMemberDoesNotSpeakToIt) {
  ASSERT_TRUE(of(3).set_peers(addresses_).ok());  // knows all addresses
  ASSERT_TRUE(of(3).send(1, "let me in").ok());   // queued on its own side, for ever
  EXPECT_FALSE(next_message(of(1), kShort).has_value());
  EXPECT_EQ(of(1).num_dropped(), 0u);  // it did not even come through the door
  const Status status = of(1).send(3, "hello");
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code(), ErrorCode::kUnavailable);
}

// Whoever holds another key than the listed one learns nothing, though it sits at the listed address.
TEST_F(ZmqPeerLinksTest, NothingIsSentToWhoHasNotTheKeyOfTheAddress) {
  ASSERT_TRUE(of(3).set_peers(addresses_).ok());
  ASSERT_TRUE(of(1).set_peers(std::vector<PeerAddress>{{2, of(3).endpoint(), keys_[1].public_key}}).ok());
  ASSERT_TRUE(of(1).send(2, "for worker 2 only").ok());
  EXPECT_FALSE(next_message(of(3), kShort).has_value());
}

TEST_F(ZmqPeerLinksTest, WhoBecomesAMemberLaterGetsInThen) {
  ASSERT_TRUE(of(3).set_peers(addresses_).ok());
  ASSERT_TRUE(of(3).send(1, "early").ok());
  EXPECT_FALSE(next_message(of(1), kShort).has_value());
  ASSERT_TRUE(of(1).set_peers(addresses_).ok());
  expect_message(of(1), 3, "early");
}

TEST_F(ZmqPeerLinksTest, ARemovedMembersMessagesAreDropped) {
  ASSERT_TRUE(of(2).send(1, "member").ok());
  expect_message(of(1), 2, "member");
  ASSERT_TRUE(of(1).set_peers({}).ok());
  ASSERT_TRUE(of(2).send(1, "no longer").ok());  // over the connection that stands
  const auto deadline = std::chrono::steady_clock::now() + kLong;
  while (of(1).num_dropped() == 0 && std::chrono::steady_clock::now() < deadline) {
    EXPECT_FALSE(next_message(of(1), milliseconds(50)).has_value());
  }
  EXPECT_EQ(of(1).num_dropped(), 1u);
}

// A worker that comes back has new keys; what its former self still sends is not the worker's word.
TEST_F(ZmqPeerLinksTest, AWorkersNumberBelongsToItsNewKeyOnly) {
  ASSERT_TRUE(of(2).send(1, "former self").ok());
  expect_message(of(1), 2, "former self");
  PeerAddress again = addresses_[2];
  again.worker = 2;
  ASSERT_TRUE(of(1).set_peers(std::vector<PeerAddress>{again}).ok());
  ASSERT_TRUE(of(3).set_peers(addresses_).ok());
  ASSERT_TRUE(of(2).send(1, "still the former self").ok());
  ASSERT_TRUE(of(3).send(1, "come back").ok());
  expect_message(of(1), 2, "come back");
}

TEST_F(ZmqPeerLinksTest, WhatDoesNotFitIsGivenBack) {
  ASSERT_TRUE(of(1).set_peers(std::vector<PeerAddress>{{2, "tcp://127.0.0.1:1", keys_[1].public_key}}).ok());
  const std::string large(1 << 16, 'x');  // on the heap
  Status status = ok_status();
  std::string bytes;
  int num_sent = 0;
  for (; num_sent < kSendsMax; ++num_sent) {  // nobody listens there
    bytes = large;
    status = of(1).try_send(2, bytes);
    if (!status.ok()) break;
  }
  EXPECT_EQ(num_sent, kLinkQueuedMessagesMax);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code(), ErrorCode::kResourceExhausted);
  EXPECT_EQ(bytes, large);
}

TEST_F(ZmqPeerLinksTest, OversizeIsRefusedBeforeItIsSent) {
  std::string bytes(kLinkMessageBytesMax + 1, 'x');
  const Status status = of(1).try_send(2, bytes);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(bytes.size(), kLinkMessageBytesMax + 1);
}

TEST_F(ZmqPeerLinksTest, AddressesThatCannotBeAreRefusedAndChangeNothing) {
  for (const PeerAddress& bad :
       {PeerAddress{4, "tcp://127.0.0.1:4", "short"}, PeerAddress{4, "ipc:///tmp/x", keys_[2].public_key}}) {
    const Status status = of(1).set_peers(std::vector<PeerAddress>{bad});
    ASSERT_FALSE(status.ok());
    EXPECT_THAT(status.error().message(), HasSubstr("worker 4"));
  }
  EXPECT_TRUE(of(1).send(2, "as before").ok());
}

// A member that does not keep to the rules: a socket by hand, with a member's key.
class RogueMemberTest : public ZmqPeerLinksTest {
 protected:
  RogueMemberTest() {
    rogue_.set(zmq::sockopt::linger, 0);
    rogue_.set(zmq::sockopt::curve_serverkey, keys_[0].public_key);
    rogue_.set(zmq::sockopt::curve_publickey, keys_[1].public_key);
    rogue_.set(zmq::sockopt::curve_secretkey, keys_[1].secret_key);
    rogue_.connect(of(1).endpoint());
  }
  zmq::context_t context_;
  zmq::socket_t rogue_{context_, zmq::socket_type::push};
};

TEST_F(RogueMemberTest, OversizeNeverArrivesAndTheNextMessageDoes) {
  rogue_.send(zmq::buffer(std::string(kLinkMessageBytesMax + 4096, 'x')));
  ASSERT_TRUE(of(2).send(1, "fine").ok());
  expect_message(of(1), 2, "fine");
  EXPECT_FALSE(next_message(of(1), kShort).has_value());
}

TEST_F(RogueMemberTest, MessagesOfSeveralPartsAreDropped) {
  rogue_.send(zmq::str_buffer("a"), zmq::send_flags::sndmore);
  rogue_.send(zmq::str_buffer("b"));
  rogue_.send(zmq::str_buffer("whole"));
  expect_message(of(1), 2, "whole");
  EXPECT_EQ(of(1).num_dropped(), 1u);
}

// Bytes that are no ZeroMQ at all, and a client without encryption.
TEST_F(ZmqPeerLinksTest, GarbageOnTheListeningPortChangesNothing) {
  zmq::context_t context;
  zmq::socket_t raw(context, zmq::socket_type::stream), plain(context, zmq::socket_type::push);
  for (zmq::socket_t* socket : {&raw, &plain}) {
    socket->set(zmq::sockopt::linger, 0);
    socket->connect(of(1).endpoint());
  }
  std::array<char, 256> identity{};
  const std::size_t size = raw.get(zmq::sockopt::routing_id, zmq::mutable_buffer(identity.data(), identity.size()));
  raw.send(zmq::buffer(identity.data(), size), zmq::send_flags::sndmore);
  raw.send(zmq::buffer(std::string(10000, '\xff')));
  plain.send(zmq::str_buffer("no key"));
  EXPECT_FALSE(next_message(of(1), kShort).has_value());
  ASSERT_TRUE(of(2).send(1, "fine").ok());
  expect_message(of(1), 2, "fine");
}

TEST(InprocPeerLinksTest, BehaveLikeTheOthers) {
  InprocLinkHub hub(3, 2);
  const auto first = hub.links(1), second = hub.links(2), third = hub.links(3);
  const std::vector<PeerAddress> all = hub.addresses();
  const std::vector<PeerAddress> members = {all[0], all[1]};
  ASSERT_TRUE(first->set_peers(members).ok() && second->set_peers(members).ok() && third->set_peers(all).ok());
  ASSERT_TRUE(third->send(1, "stranger").ok());
  ASSERT_TRUE(second->send(1, "member").ok());
  std::string bytes = "one too many";
  const Status full = second->try_send(1, bytes);
  ASSERT_FALSE(full.ok());
  EXPECT_EQ(full.error().code(), ErrorCode::kResourceExhausted);
  EXPECT_EQ(bytes, "one too many");
  expect_message(*first, 2, "member");
  EXPECT_EQ(first->num_dropped(), 1u);
  const Status unknown = first->send(3, "hello");
  ASSERT_FALSE(unknown.ok());
  EXPECT_EQ(unknown.error().code(), ErrorCode::kUnavailable);
  EXPECT_FALSE(first->set_peers(std::vector<PeerAddress>{{3, "tcp://127.0.0.1:3", "key-3"}}).ok());
}

}  // namespace
}  // namespace jigsaw
