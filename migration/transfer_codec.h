// The messages of a transfer as they go over a link, and its payload in chunks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "core/result.h"
#include "core/transport/message_bytes.h"
#include "core/wire/peer_frame.h"
#include "migration/transfer_messages.h"

namespace jigsaw {

inline constexpr std::size_t kChunkBytes = std::size_t{1} << 20;

// CHECKs that it is no Chunk: those come from a PayloadWriter.
std::string encode(const SourceMessage& message);
std::string encode(const TargetMessage& message);
// Empty: not of a transfer.
std::optional<std::variant<SourceMessage, TargetMessage>> decode(const wire::PeerMessage& message);

// A chunk as it came: the frame is kept, its bytes are not copied unless they have to be decompressed.
class ReceivedChunk {
 public:
  // `decoded` is of `frame`. kCorrupt when its checksum or its size is wrong.
  static Result<ReceivedChunk> check(MessageBytes&& frame, const PeerFrame& decoded);
  std::string_view bytes() const { return bytes_; }

 private:
  ReceivedChunk(MessageBytes memory, std::string_view bytes) : memory_(std::move(memory)), bytes_(bytes) {}
  MessageBytes memory_;
  std::string_view bytes_;  // in memory_
};

// The chunks of a payload, as one string of bytes. All but the last are kChunkBytes long.
class ReceivedPayload {
 public:
  void add(std::uint32_t index, ReceivedChunk chunk) { chunks_.insert_or_assign(index, std::move(chunk)); }
  // Whether chunks 0 to num_chunks - 1 are there and as long as they have to be.
  Status check_complete(std::uint32_t num_chunks) const;
  std::size_t size() const;
  // CHECKs that [begin, begin + to.size()) is within.
  void read(std::size_t begin, std::span<char> to) const;

 private:
  std::map<std::uint32_t, ReceivedChunk> chunks_;
};

enum class Compression { kNone, kWhereSmaller };  // a chunk's, by a tenth at least

// Cuts what is appended into the frames of chunks, each byte copied once.
class PayloadWriter {
 public:
  PayloadWriter(TransferId id, std::size_t num_bytes, Compression compression)
      : id_(id), num_bytes_(num_bytes), compression_(compression) {}
  void append(std::span<const char> bytes);
  // The frames, by index. CHECKs that all announced bytes were appended.
  std::vector<std::string> finish();

 private:
  void close_chunk();

  TransferId id_;
  std::size_t num_bytes_, num_appended_ = 0;
  Compression compression_;
  std::vector<std::string> frames_;  // the last one may be open
  std::size_t chunk_begin_ = 0, chunk_bytes_ = 0;
  bool is_open_ = false;
};
inline std::uint32_t num_chunks_for(std::size_t num_bytes) {
  return static_cast<std::uint32_t>((num_bytes + kChunkBytes - 1) / kChunkBytes);
}

}  // namespace jigsaw
