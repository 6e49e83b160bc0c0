#include "workers/moves/sequence_payload.h"

#include <cstdint>
#include <utility>

#include "rollout/engine/kv_block_pool.h"

namespace jigsaw {
namespace {

using Length = std::uint32_t;

// Of a snapshot: a token takes up to 5 bytes as a number, a log-prob 4; the rest is a few small fields.
constexpr std::size_t kBytesPerTokenMax = 16, kFieldsBytesMax = 256;

Error corrupt(const std::string& what) { return Error(ErrorCode::kCorrupt, "a moved sequence: " + what); }

}  // namespace

std::size_t payload_bytes_at_most(std::size_t num_tokens, std::size_t kv_bytes) {
  return sizeof(Length) + kFieldsBytesMax + kBytesPerTokenMax * num_tokens + kv_bytes;
}

std::vector<std::string> encode_sequence(TransferId id, wire::SequenceSnapshot snapshot, const SequenceKv* kv,
                                         Compression compression) {
  const std::size_t block_bytes = kv == nullptr ? 0 : kv->block_floats * sizeof(float);
  const std::size_t kv_bytes = kv == nullptr ? 0 : kv->blocks.size() * block_bytes;
  snapshot.set_kv_positions(kv == nullptr ? 0 : static_cast<std::uint32_t>(kv->num_positions));
  snapshot.set_kv_block_bytes(block_bytes);
  const std::string head = snapshot.SerializeAsString();
  const auto length = static_cast<Length>(head.size());
  PayloadWriter writer(id, sizeof length + head.size() + kv_bytes, compression);
  writer.append({reinterpret_cast<const char*>(&length), sizeof length});
  writer.append(head);
  for (std::size_t i = 0; kv != nullptr && i < kv->blocks.size(); ++i) {
    writer.append({reinterpret_cast<const char*>(kv->blocks[i]), block_bytes});
  }
  return writer.finish();
}

KvImport ReceivedSequence::kv(const ReceivedPayload& payload) const {
  return {
      .num_positions = static_cast<int>(snapshot.kv_positions()),
      .block_floats = static_cast<std::size_t>(snapshot.kv_block_bytes()) / sizeof(float),
      .read_block = [&payload, begin = kv_begin, bytes = snapshot.kv_block_bytes()](int index, std::span<float> block) {
        payload.read(begin + static_cast<std::size_t>(index) * bytes,
                     {reinterpret_cast<char*>(block.data()), block.size_bytes()});
      }};
}

Result<ReceivedSequence> decode_sequence(const ReceivedPayload& payload) {
  Length length = 0;
  if (payload.size() < sizeof length) return corrupt("its payload is too short");
  payload.read(0, {reinterpret_cast<char*>(&length), sizeof length});
  if (length > payload.size() - sizeof length) return corrupt("its payload is shorter than its snapshot");
  std::string head(length, '\0');
  payload.read(sizeof length, head);
  ReceivedSequence received;
  wire::SequenceSnapshot& snapshot = received.snapshot;
  if (!snapshot.ParseFromString(head)) return corrupt("its snapshot is no message that this version knows");
  received.kv_begin = sizeof length + length;
  const std::size_t kv_bytes = payload.size() - received.kv_begin;
  const std::size_t blocks = (std::size_t{snapshot.kv_positions()} + kPositionsPerBlock - 1) / kPositionsPerBlock;
  const bool fits =
      blocks == 0 ? kv_bytes == 0 : kv_bytes % blocks == 0 && kv_bytes / blocks == snapshot.kv_block_bytes();
  if (!fits) return corrupt("its keys and values are not of the size that its snapshot says");
  if (snapshot.prompt_length() == 0 ||
      static_cast<std::uint64_t>(snapshot.tokens_size()) !=
          std::uint64_t{snapshot.prompt_length()} + static_cast<std::uint64_t>(snapshot.logprobs_size())) {
    return corrupt("its numbers of tokens and log-probs do not agree");
  }
  if (snapshot.given_size() % 2 != 0) return corrupt("its last run of given tokens has no end");
  return received;
}

}  // namespace jigsaw
