// A sequence as the payload of a transfer: the length of its SequenceSnapshot (4 bytes, little-endian), that message,
// and the blocks of its keys and values, if they come along.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "core/result.h"
#include "core/wire/peer_messages.pb.h"
#include "migration/transfer_codec.h"
#include "rollout/engine/rollout_engine.h"

namespace jigsaw {

// Of a sequence with so many tokens, with or without keys and values.
std::size_t payload_bytes_at_most(std::size_t num_tokens, std::size_t kv_bytes);

// The frames of its chunks. What is in `snapshot` of keys and values is set by `kv`, which may be null.
std::vector<std::string> encode_sequence(TransferId id, wire::SequenceSnapshot snapshot, const SequenceKv* kv,
                                         Compression compression);

struct ReceivedSequence {
  wire::SequenceSnapshot snapshot;
  std::size_t kv_begin = 0;  // in the payload

  // Reads from `payload`, which outlives it. Empty positions: there are none.
  KvImport kv(const ReceivedPayload& payload) const;
};
// kCorrupt when the payload is not what its snapshot says.
Result<ReceivedSequence> decode_sequence(const ReceivedPayload& payload);

}  // namespace jigsaw
