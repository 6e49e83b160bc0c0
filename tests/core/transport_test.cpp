#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

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
        second_keys_(*make_curve_keys()),
        server_(*listen_for_workers(controller_keys_,
                                    std::vector<std::string>{worker_keys_.public_key, second_keys_.public_key})) {}
  std::unique_ptr<Transport> connect(const CurveKeys& keys) {
    return *connect_to_controller(keys, server_.endpoint, controller_keys_.public_key);
  }
  CurveKeys controller_keys_, worker_keys_, second_keys_;
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

TEST_F(ZmqTransportTest, TheSenderIsKnownByItsKey) {
  const auto second = connect(second_keys_), first = connect(worker_keys_);
  ASSERT_TRUE(second->send(kControllerPeer, "second").ok());
  ASSERT_TRUE(first->send(kControllerPeer, "first").ok());
  for (int i = 0; i < 2; ++i) {
    const auto received = server_.transport->receive(kLong);
    ASSERT_TRUE(received.ok() && received->has_value());
    EXPECT_EQ((*received)->from, (*received)->bytes == "first" ? 1u : 2u);
  }
}

// A connection made anew is another one to ZeroMQ, and still the same worker.
TEST_F(ZmqTransportTest, AWorkerThatConnectsAgainIsReached) {
  for (const std::string word : {"one", "two"}) {
    const auto worker = connect(worker_keys_);
    ASSERT_TRUE(worker->send(kControllerPeer, word).ok());
    const auto received = server_.transport->receive(kLong);
    ASSERT_TRUE(received.ok() && received->has_value());
    EXPECT_EQ((*received)->bytes, word);
    ASSERT_TRUE(server_.transport->send(1, word).ok());
    const auto back = worker->receive(kLong);
    ASSERT_TRUE(back.ok() && back->has_value());
    EXPECT_EQ((*back)->bytes, word);
  }
}

TEST_F(ZmqTransportTest, SendingToAnAbsentWorkerIsAnError) {
  const Status status = server_.transport->send(1, "anyone?");
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code(), ErrorCode::kUnavailable);
}

// A process that is stopped closes nothing: only heartbeats tell.
TEST(StoppedWorkerTest, SendingToItBecomesAnError) {
  const CurveKeys controller_keys = *make_curve_keys(), worker_keys = *make_curve_keys();
  int endpoint_pipe[2];
  ASSERT_EQ(::pipe(endpoint_pipe), 0);
  const pid_t child = ::fork();  // before this process has threads
  ASSERT_GE(child, 0);
  if (child == 0) {
    char endpoint[256] = {};
    if (::read(endpoint_pipe[0], endpoint, sizeof(endpoint) - 1) <= 0) ::_exit(1);
    const auto worker = connect_to_controller(worker_keys, endpoint, controller_keys.public_key);
    if (!worker.ok() || !(*worker)->send(kControllerPeer, "hello").ok()) ::_exit(1);
    (void)(*worker)->receive(std::chrono::minutes(1));  // until it is stopped
    ::raise(SIGSTOP);
    ::_exit(0);
  }
  const auto server = listen_for_workers(controller_keys, std::vector<std::string>{worker_keys.public_key});
  ASSERT_TRUE(server.ok());
  ASSERT_GT(::write(endpoint_pipe[1], server->endpoint.data(), server->endpoint.size()), 0);
  const auto hello = server->transport->receive(kLong);
  ASSERT_TRUE(hello.ok() && hello->has_value());
  ASSERT_TRUE(server->transport->send(1, "stop").ok());
  int state = 0;
  ASSERT_EQ(::waitpid(child, &state, WUNTRACED), child);
  ASSERT_TRUE(WIFSTOPPED(state));
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  Status status = ok_status();
  while (status.ok() && std::chrono::steady_clock::now() < deadline) {
    status = server->transport->send(1, "still there?");
    (void)server->transport->receive(milliseconds(100));
  }
  ::kill(child, SIGKILL);
  ::waitpid(child, &state, 0);
  for (const int file : endpoint_pipe) ::close(file);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code(), ErrorCode::kUnavailable);
}

}  // namespace
}  // namespace jigsaw
