// How a PeerMessage and the bytes behind it lie in one message of a link: the length of the PeerMessage (4 bytes,
// little-endian), the PeerMessage, the bytes. So MBs are neither copied into Protobuf nor out of it.
#pragma once

#include <string>
#include <string_view>

#include "core/result.h"
#include "core/wire/peer_messages.pb.h"

namespace jigsaw {

std::string encode_peer_frame(const wire::PeerMessage& message, std::string_view behind = {});

struct PeerFrame {
  wire::PeerMessage message;
  std::string_view behind;  // in the frame's memory
};
// kCorrupt when it is none.
Result<PeerFrame> decode_peer_frame(std::string_view frame);

}  // namespace jigsaw
