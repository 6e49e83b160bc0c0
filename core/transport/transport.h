// Messages between the controller (peer 0) and the workers (peers 1..N). One endpoint belongs to one thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "core/result.h"
#include "core/transport/message_bytes.h"

namespace jigsaw {

using PeerId = std::uint32_t;
inline constexpr PeerId kControllerPeer = 0;
// Larger messages are refused before anything is allocated for them.
inline constexpr std::size_t kMessageBytesMax = std::size_t{1} << 30;
// Messages queued towards one peer; a send beyond that is kResourceExhausted.
inline constexpr int kQueuedMessagesMax = 65536;

struct ReceivedMessage {
  PeerId from = 0;
  MessageBytes bytes;
};

class Transport {
 public:
  virtual ~Transport() = default;
  // Queues the message and returns; kUnavailable when the peer is not connected, kResourceExhausted when its queue is
  // full.
  virtual Status send(PeerId to, std::string bytes) = 0;
  // The next message, or empty after `wait`. Messages of one peer arrive in the order sent.
  virtual Result<std::optional<ReceivedMessage>> receive(std::chrono::milliseconds wait) = 0;
};

}  // namespace jigsaw
