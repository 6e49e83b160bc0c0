#include "core/wire/peer_frame.h"

#include <bit>
#include <cstdint>
#include <cstring>

namespace jigsaw {
namespace {

constexpr char kHasBytesBehind = 0;
constexpr std::size_t kLengthBegin = 1, kMessageBegin = kLengthBegin + sizeof(std::uint32_t);

static_assert(std::endian::native == std::endian::little);

}  // namespace

std::string begin_peer_frame(const wire::PeerMessage& message) {
  const auto length = static_cast<std::uint32_t>(message.ByteSizeLong());
  std::string frame(1, kHasBytesBehind);
  frame.append(reinterpret_cast<const char*>(&length), sizeof(length));
  message.AppendToString(&frame);
  return frame;
}

Result<PeerFrame> decode_peer_frame(std::string_view frame) {
  const Error corrupt(ErrorCode::kCorrupt, "bytes that are no message between workers");
  PeerFrame decoded;
  std::string_view message = frame;
  if (!frame.empty() && frame.front() == kHasBytesBehind) {
    if (frame.size() < kMessageBegin) return corrupt;
    std::uint32_t length = 0;
    std::memcpy(&length, frame.data() + kLengthBegin, sizeof(length));
    message = frame.substr(kMessageBegin);
    if (length > message.size()) return corrupt;
    decoded.behind = message.substr(length);
    message = message.substr(0, length);
  }
  if (!decoded.message.ParseFromArray(message.data(), static_cast<int>(message.size())) ||
      decoded.message.message_case() == wire::PeerMessage::MESSAGE_NOT_SET) {
    return corrupt;
  }
  return decoded;
}

}  // namespace jigsaw
