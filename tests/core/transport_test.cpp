#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <zmq.hpp>

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

// The three ways to come without the right key; none hears or says anything, and members are served as before.
TEST_F(ZmqTransportTest, WhoHasNoKeyOrAnotherMechanismNeitherSaysNorHearsAnything) {
  zmq::context_t context;
  zmq::socket_t null(context, zmq::socket_type::dealer), plain(context, zmq::socket_type::dealer),
      wrong_server(context, zmq::socket_type::dealer);
  plain.set(zmq::sockopt::plain_username, "worker");
  plain.set(zmq::sockopt::plain_password, "1");
  // A member's own keys, but it takes somebody else for the controller.
  wrong_server.set(zmq::sockopt::curve_serverkey, second_keys_.public_key);
  wrong_server.set(zmq::sockopt::curve_publickey, worker_keys_.public_key);
  wrong_server.set(zmq::sockopt::curve_secretkey, worker_keys_.secret_key);
  for (zmq::socket_t* socket : {&null, &plain, &wrong_server}) {
    socket->set(zmq::sockopt::linger, 0);
    socket->set(zmq::sockopt::rcvtimeo, static_cast<int>(kShort.count()));
    socket->connect(server_.endpoint);
    socket->send(zmq::str_buffer("let me in"));
  }
  const auto received = server_.transport->receive(kShort);
  ASSERT_TRUE(received.ok());
  EXPECT_FALSE(received->has_value());
  EXPECT_FALSE(server_.transport->send(1, "for worker 1").ok());
  const auto worker = connect(second_keys_);
  ASSERT_TRUE(worker->send(kControllerPeer, "hello").ok());
  const auto hello = server_.transport->receive(kLong);
  ASSERT_TRUE(hello.ok() && hello->has_value());
  EXPECT_EQ((*hello)->from, 2u);
  ASSERT_TRUE(server_.transport->send(2, "for worker 2").ok());
  for (zmq::socket_t* socket : {&null, &plain, &wrong_server}) {
    zmq::message_t heard;
    EXPECT_FALSE(socket->recv(heard).has_value());
  }
}

// Whoever takes the controller's port learns nothing, for want of its secret key.
TEST_F(ZmqTransportTest, AWorkerSaysNothingToAnImpostor) {
  const auto impostor = *listen_for_workers(*make_curve_keys(), std::vector<std::string>{worker_keys_.public_key});
  const auto worker = *connect_to_controller(worker_keys_, impostor.endpoint, controller_keys_.public_key);
  ASSERT_TRUE(worker->send(kControllerPeer, "a secret").ok());  // queued on its own side
  EXPECT_FALSE(impostor.transport->receive(kShort)->has_value());
}

TEST_F(ZmqTransportTest, OversizeEndsTheConnectionAndTheNextMessageArrives) {
  const auto server = *listen_for_workers(controller_keys_, std::vector<std::string>{worker_keys_.public_key}, 1000);
  const auto worker = *connect_to_controller(worker_keys_, server.endpoint, controller_keys_.public_key);
  ASSERT_TRUE(worker->send(kControllerPeer, std::string(1000, 'x')).ok());
  const auto fits = server.transport->receive(kLong);
  ASSERT_TRUE(fits.ok() && fits->has_value());
  ASSERT_TRUE(worker->send(kControllerPeer, std::string(2000, 'x')).ok());
  EXPECT_FALSE(server.transport->receive(kShort)->has_value());
  const auto again = *connect_to_controller(worker_keys_, server.endpoint, controller_keys_.public_key);
  ASSERT_TRUE(again->send(kControllerPeer, "small").ok());
  const auto small = server.transport->receive(kLong);
  ASSERT_TRUE(small.ok() && small->has_value());
  EXPECT_EQ((*small)->bytes, "small");
}

// Connections that say nothing, or stop half-way, and strangers whose handshakes are refused again and again.
TEST_F(ZmqTransportTest, AFloodOfHandshakesKeepsNoMemberOut) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port =
      htons(static_cast<std::uint16_t>(std::stoi(server_.endpoint.substr(server_.endpoint.rfind(':') + 1))));
  std::vector<int> connections;
  const std::string greeting("\xff\0\0\0\0\0\0\0\1\x7f\3", 11);
  for (int i = 0; i < 300; ++i) {
    const int connection = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    ASSERT_GE(connection, 0);
    (void)::connect(connection, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
    if (i % 2 == 0) (void)!::send(connection, greeting.data(), greeting.size(), MSG_NOSIGNAL);
    connections.push_back(connection);
  }
  std::vector<std::unique_ptr<Transport>> strangers;
  for (int i = 0; i < 20; ++i) {
    strangers.push_back(connect(*make_curve_keys()));
    (void)strangers.back()->send(kControllerPeer, "let me in");
  }
  const auto worker = connect(worker_keys_);
  ASSERT_TRUE(worker->send(kControllerPeer, "hello").ok());
  const auto received = server_.transport->receive(4 * kLong);  // a full backlog makes it try again
  for (const int connection : connections) ::close(connection);
  ASSERT_TRUE(received.ok() && received->has_value());
  EXPECT_EQ((*received)->bytes, "hello");
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
