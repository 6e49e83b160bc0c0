#include "migration/transfer_codec.h"

#include <xxhash.h>
#include <zstd.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "core/check.h"

namespace jigsaw {
namespace {

constexpr int kZstdLevel = 1;
constexpr std::size_t kChecksumBytes = sizeof(XXH64_hash_t);
constexpr std::size_t kReasonBytesMax = 500;

static_assert(std::endian::native == std::endian::little);

std::uint64_t number(TransferId id) { return static_cast<std::uint64_t>(id); }

wire::PeerMessage chunk_message(TransferId id, std::uint32_t index, std::size_t raw_bytes) {
  wire::PeerMessage message;
  message.mutable_chunk()->set_id(number(id));
  message.mutable_chunk()->set_index(index);
  message.mutable_chunk()->set_raw_bytes(static_cast<std::uint32_t>(raw_bytes));
  return message;
}

void append_checksum(std::string& frame, std::size_t begin) {
  const XXH64_hash_t checksum = XXH3_64bits(frame.data() + begin, frame.size() - begin);
  frame.append(reinterpret_cast<const char*>(&checksum), kChecksumBytes);
}

Error corrupt_chunk(const wire::TransferChunk& chunk, const std::string& what) {
  return Error(ErrorCode::kCorrupt,
               "chunk " + std::to_string(chunk.index()) + " of transfer " + std::to_string(chunk.id()) + ": " + what);
}

struct Encoder {
  wire::PeerMessage& to;

  void operator()(const Offer& message) const {
    wire::TransferOffer& offer = *to.mutable_offer();
    offer.set_id(number(message.id));
    offer.set_settled_below(number(message.settled_below));
    offer.mutable_terms()->set_to_node(message.terms.to_node);
    offer.mutable_terms()->set_sample(message.terms.sample);
    offer.mutable_terms()->set_num_tokens(message.terms.num_tokens);
    offer.mutable_terms()->set_chunks_max(message.terms.chunks_max);
  }
  void operator()(const Chunk&) const { CHECK_FAILED("a chunk without its bytes is to be sent"); }
  void operator()(const Commit& message) const {
    to.mutable_commit()->set_id(number(message.id));
    to.mutable_commit()->set_settled_below(number(message.settled_below));
    to.mutable_commit()->set_num_chunks(message.num_chunks);
  }
  void operator()(const Abort& message) const {
    to.mutable_abort()->set_id(number(message.id));
    to.mutable_abort()->set_settled_below(number(message.settled_below));
  }
  void operator()(const Reserved& message) const {
    to.mutable_reserved()->set_id(number(message.id));
    to.mutable_reserved()->set_chunk_limit(message.chunk_limit);
  }
  void operator()(const Credit& message) const {
    to.mutable_credit()->set_id(number(message.id));
    to.mutable_credit()->set_received_below(message.received_below);
    to.mutable_credit()->set_chunk_limit(message.chunk_limit);
    to.mutable_credit()->set_is_commit_waiting(message.is_commit_waiting);
  }
  void operator()(const Ack& message) const { to.mutable_ack()->set_id(number(message.id)); }
  void operator()(const Gone& message) const {
    to.mutable_gone()->set_id(number(message.id));
    to.mutable_gone()->set_reason(message.reason.substr(0, kReasonBytesMax));
  }
};

template <typename Message>
std::string encode_any(const Message& message) {
  wire::PeerMessage encoded;
  std::visit(Encoder{encoded}, message);
  return encoded.SerializeAsString();
}

}  // namespace

std::string encode(const SourceMessage& message) { return encode_any(message); }
std::string encode(const TargetMessage& message) { return encode_any(message); }

std::optional<std::variant<SourceMessage, TargetMessage>> decode(const wire::PeerMessage& message) {
  const auto source = [](SourceMessage some) { return std::variant<SourceMessage, TargetMessage>(std::move(some)); };
  const auto target = [](TargetMessage some) { return std::variant<SourceMessage, TargetMessage>(std::move(some)); };
  switch (message.message_case()) {
    case wire::PeerMessage::kOffer: {
      const wire::TransferTerms& terms = message.offer().terms();
      return source(Offer{TransferId{message.offer().id()},
                          TransferId{message.offer().settled_below()},
                          {.to_node = terms.to_node(),
                           .sample = terms.sample(),
                           .num_tokens = terms.num_tokens(),
                           .chunks_max = terms.chunks_max()}});
    }
    case wire::PeerMessage::kChunk: return source(Chunk{TransferId{message.chunk().id()}, message.chunk().index()});
    case wire::PeerMessage::kCommit:
      return source(Commit{TransferId{message.commit().id()}, TransferId{message.commit().settled_below()},
                           message.commit().num_chunks()});
    case wire::PeerMessage::kAbort:
      return source(Abort{TransferId{message.abort().id()}, TransferId{message.abort().settled_below()}});
    case wire::PeerMessage::kReserved:
      return target(Reserved{TransferId{message.reserved().id()}, message.reserved().chunk_limit()});
    case wire::PeerMessage::kCredit:
      return target(Credit{TransferId{message.credit().id()}, message.credit().received_below(),
                           message.credit().chunk_limit(), message.credit().is_commit_waiting()});
    case wire::PeerMessage::kAck: return target(Ack{TransferId{message.ack().id()}});
    case wire::PeerMessage::kGone: return target(Gone{TransferId{message.gone().id()}, message.gone().reason()});
    default: return std::nullopt;
  }
}

Result<ReceivedChunk> ReceivedChunk::check(MessageBytes&& frame, const PeerFrame& decoded) {
  const wire::TransferChunk& chunk = decoded.message.chunk();
  if (decoded.behind.size() <= kChecksumBytes) return corrupt_chunk(chunk, "it is empty");
  const std::string_view bytes = decoded.behind.substr(0, decoded.behind.size() - kChecksumBytes);
  XXH64_hash_t checksum = 0;
  std::memcpy(&checksum, bytes.data() + bytes.size(), kChecksumBytes);
  if (XXH3_64bits(bytes.data(), bytes.size()) != checksum) return corrupt_chunk(chunk, "its checksum is wrong");
  if (std::max<std::size_t>(bytes.size(), chunk.raw_bytes()) > kChunkBytes)
    return corrupt_chunk(chunk, "it is too large");
  if (chunk.raw_bytes() == 0) return ReceivedChunk(std::move(frame), bytes);
  std::string raw(chunk.raw_bytes(), '\0');
  if (ZSTD_decompress(raw.data(), raw.size(), bytes.data(), bytes.size()) != raw.size()) {
    return corrupt_chunk(chunk, "it does not decompress to the size it says");
  }
  MessageBytes memory(std::move(raw));
  const std::string_view view = memory.view();
  return ReceivedChunk(std::move(memory), view);
}

Status ReceivedPayload::check_complete(std::uint32_t num_chunks) const {
  std::uint32_t expected = 0;
  for (const auto& [index, chunk] : chunks_) {
    if (index != expected) break;
    ++expected;
    if (index + 1 < num_chunks && chunk.bytes().size() != kChunkBytes) {
      return Error(ErrorCode::kCorrupt, "chunk " + std::to_string(index) + " is too short");
    }
  }
  if (chunks_.size() == num_chunks && expected == num_chunks) return ok_status();
  return Error(ErrorCode::kCorrupt, "the chunks are not " + std::to_string(num_chunks));
}

std::size_t ReceivedPayload::size() const {
  return chunks_.empty() ? 0 : (chunks_.size() - 1) * kChunkBytes + chunks_.rbegin()->second.bytes().size();
}

void ReceivedPayload::read(std::size_t begin, std::span<char> to) const {
  CHECK(begin + to.size() <= size());
  while (!to.empty()) {
    const std::string_view chunk = chunks_.at(static_cast<std::uint32_t>(begin / kChunkBytes)).bytes();
    const std::size_t offset = begin % kChunkBytes, count = std::min(to.size(), chunk.size() - offset);
    std::memcpy(to.data(), chunk.data() + offset, count);
    to = to.subspan(count);
    begin += count;
  }
}

void PayloadWriter::append(std::span<const char> bytes) {
  CHECK(num_appended_ + bytes.size() <= num_bytes_);
  while (!bytes.empty()) {
    if (!is_open_) {
      std::string frame = begin_peer_frame(chunk_message(id_, static_cast<std::uint32_t>(frames_.size()), 0));
      chunk_begin_ = frame.size();
      chunk_bytes_ = std::min(kChunkBytes, num_bytes_ - num_appended_);
      frame.reserve(chunk_begin_ + chunk_bytes_ + kChecksumBytes);
      frames_.push_back(std::move(frame));
      is_open_ = true;
    }
    std::string& frame = frames_.back();
    const std::size_t count = std::min(bytes.size(), chunk_bytes_ - (frame.size() - chunk_begin_));
    frame.append(bytes.data(), count);
    bytes = bytes.subspan(count);
    num_appended_ += count;
    if (frame.size() - chunk_begin_ == chunk_bytes_) close_chunk();
  }
}

void PayloadWriter::close_chunk() {
  is_open_ = false;
  std::string& frame = frames_.back();
  if (compression_ == Compression::kWhereSmaller) {
    std::string packed =
        begin_peer_frame(chunk_message(id_, static_cast<std::uint32_t>(frames_.size() - 1), chunk_bytes_));
    const std::size_t begin = packed.size();
    packed.resize(begin + chunk_bytes_ * 9 / 10);
    const std::size_t size = ZSTD_compress(packed.data() + begin, packed.size() - begin, frame.data() + chunk_begin_,
                                           chunk_bytes_, kZstdLevel);
    if (!ZSTD_isError(size)) {  // else it does not fit
      packed.resize(begin + size);
      append_checksum(packed, begin);
      frame = std::move(packed);
      return;
    }
  }
  append_checksum(frame, chunk_begin_);
}

std::vector<std::string> PayloadWriter::finish() {
  CHECK(num_appended_ == num_bytes_ && !is_open_);
  return std::move(frames_);
}

}  // namespace jigsaw
