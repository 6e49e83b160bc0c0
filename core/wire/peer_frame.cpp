#include "core/wire/peer_frame.h"

#include <bit>
#include <cstdint>
#include <cstring>

namespace jigsaw {

static_assert(std::endian::native == std::endian::little);

std::string encode_peer_frame(const wire::PeerMessage& message, std::string_view behind) {
  const auto length = static_cast<std::uint32_t>(message.ByteSizeLong());
  std::string frame;
  frame.reserve(sizeof(length) + length + behind.size());
  frame.append(reinterpret_cast<const char*>(&length), sizeof(length));
  message.AppendToString(&frame);
  frame.append(behind);
  return frame;
}

Result<PeerFrame> decode_peer_frame(std::string_view frame) {
  std::uint32_t length = 0;
  if (frame.size() >= sizeof(length)) {
    std::memcpy(&length, frame.data(), sizeof(length));
    frame.remove_prefix(sizeof(length));
    PeerFrame decoded;
    if (length <= frame.size() && decoded.message.ParseFromArray(frame.data(), static_cast<int>(length)) &&
        decoded.message.message_case() != wire::PeerMessage::MESSAGE_NOT_SET) {
      decoded.behind = frame.substr(length);
      return decoded;
    }
  }
  return Error(ErrorCode::kCorrupt, "bytes that are no message between workers");
}

}  // namespace jigsaw
