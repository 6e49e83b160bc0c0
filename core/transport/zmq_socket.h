// What all our ZeroMQ sockets have in common. Only for the sources of this folder.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <zmq.hpp>

#include "core/result.h"
#include "core/transport/message_bytes.h"

namespace jigsaw {

struct SocketLimits {
  std::size_t message_bytes_max = 0;  // a larger one ends its connection before anything is allocated for it
  int queued_messages_max = 0;        // a connection and direction
};

// Limits, and heartbeats: the connection of a peer that was stopped or lost its machine is dropped within seconds,
// though nothing closed it.
void set_common_options(zmq::socket_t& socket, const SocketLimits& limits, std::chrono::milliseconds linger);

// Waits up to `wait` for a message; false if none came, also when a signal (Ctrl-C) ends the wait early.
bool wait_readable(zmq::socket_t& socket, std::chrono::milliseconds wait);

// Receives and drops the rest of a multi-part message; no message of ours has further parts.
void drop_further_parts(zmq::socket_t& socket, const zmq::message_t& last);

// The message's memory, without a copy; a zmq::message_t of one part.
MessageBytes bytes_of(zmq::message_t message);
// A message over the memory of `bytes`, without a copy; ZeroMQ lets go of it when it needs it no more.
zmq::message_t message_over(std::shared_ptr<const std::string> bytes);

Error zmq_failure(const std::string& doing, const zmq::error_t& error);

}  // namespace jigsaw
