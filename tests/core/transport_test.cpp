#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/transport/inproc_transport.h"
#include "core/transport/zmq_transport.h"

namespace jigsaw {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kLong{5000}, kShort{300};

TEST(InprocTransportTest, MessagesArriveInOrderWithTheirSender) {
  InprocHub hub(2);
  const auto controller = hub.endpoint(0), second = hub.endpoint(2);
  ASSERT_TRUE(second->send(0, "a").ok());
  ASSERT_TRUE(second->send(0, "b").ok());
  for (const char* expected : {"a", "b"}) {
    const auto received = controller->receive(kLong);
    ASSERT_TRUE(received.ok() && received->has_value());
    EXPECT_EQ((*received)->from, 2u);
    EXPECT_EQ((*received)->bytes, expected);
  }
  EXPECT_FALSE(controller->receive(milliseconds(0))->has_value());
}

class ZmqTransportTest : public testing::Test {
 protected:
  ZmqTransportTest()
      : controller_keys_(*make_curve_keys()),
        worker_keys_(*make_curve_keys()),
        server_(*listen_for_workers(controller_keys_, std::vector<std::string>{worker_keys_.public_key})) {}
  std::unique_ptr<Transport> connect(const CurveKeys& keys, PeerId self = 1) {
    return *connect_to_controller(self, keys, server_.endpoint, controller_keys_.public_key);
  }
  CurveKeys controller_keys_, worker_keys_;
  ZmqServer server_;
};

TEST_F(ZmqTransportTest, BothWaysOnTheLoopback) {
  EXPECT_THAT(server_.endpoint, testing::StartsWith("tcp://127.0.0.1:"));
  const auto worker = connect(worker_keys_);
  ASSERT_TRUE(worker->send(kControllerPeer, std::string(3 << 20, 'x')).ok());
  const auto received = server_.transport->receive(kLong);
  ASSERT_TRUE(received.ok() && received->has_value());
  EXPECT_EQ((*received)->from, 1u);
  EXPECT_EQ((*received)->bytes.size(), std::size_t{3} << 20);
  ASSERT_TRUE(server_.transport->send(1, "back").ok());
  const auto back = worker->receive(kLong);
  ASSERT_TRUE(back.ok() && back->has_value());
  EXPECT_EQ((*back)->bytes, "back");
}

TEST_F(ZmqTransportTest, AnUnknownKeyGetsNothingIn) {
  const auto stranger = connect(*make_curve_keys());
  (void)stranger->send(kControllerPeer, "let me in");
  const auto received = server_.transport->receive(kShort);
  ASSERT_TRUE(received.ok());
  EXPECT_FALSE(received->has_value());
}

TEST_F(ZmqTransportTest, TheSenderIsKnownByItsKeyNotByItsClaim) {
  const auto worker = connect(worker_keys_, 7);  // claims to be worker 7
  ASSERT_TRUE(worker->send(kControllerPeer, "hello").ok());
  const auto received = server_.transport->receive(kLong);
  ASSERT_TRUE(received.ok() && received->has_value());
  EXPECT_EQ((*received)->from, 1u);
}

TEST_F(ZmqTransportTest, SendingToAnAbsentWorkerIsAnError) {
  const Status status = server_.transport->send(1, "anyone?");
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code(), ErrorCode::kUnavailable);
}

}  // namespace
}  // namespace jigsaw
