// How a message of a link lies in memory: a PeerMessage alone is plain Protobuf. One with bytes behind it begins with a
// zero byte, with which no Protobuf message begins, and the length of the PeerMessage (4 bytes, little-endian); so MBs
// are neither copied into Protobuf nor out of it.
#pragma once

#include <string>
#include <string_view>

#include "core/result.h"
#include "core/wire/peer_messages.pb.h"

namespace jigsaw {

// The beginning of a frame, to which the caller appends the bytes that are to be behind `message`.
std::string begin_peer_frame(const wire::PeerMessage& message);

struct PeerFrame {
  wire::PeerMessage message;
  std::string_view behind{};  // in the frame's memory
};
// kCorrupt when it is none.
Result<PeerFrame> decode_peer_frame(std::string_view frame);

}  // namespace jigsaw
