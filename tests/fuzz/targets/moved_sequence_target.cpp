#include "core/check.h"
#include "tests/fuzz/fuzz_targets.h"
#include "tests/fuzz/quiet_protobuf.h"
#include "workers/moves/sequence_payload.h"

namespace jigsaw::fuzz {

// The payload of a transfer, cut into chunks and put together again, as the sequence that it says to be.
void moved_sequence(std::string_view bytes) {
  quiet_protobuf();
  if (bytes.empty()) return;
  PayloadWriter writer(TransferId{1}, bytes.size(), Compression::kWhereSmaller);
  writer.append(bytes);
  ReceivedPayload payload;
  const std::vector<std::string> frames = writer.finish();
  for (std::size_t i = 0; i < frames.size(); ++i) {
    MessageBytes frame(frames[i]);
    const auto decoded = decode_peer_frame(frame);
    auto chunk = ReceivedChunk::check(std::move(frame), *decoded);
    CHECK_MSG(chunk.ok(), chunk.error().message());
    payload.add(static_cast<std::uint32_t>(i), *std::move(chunk));
  }
  CHECK(payload.check_complete(static_cast<std::uint32_t>(frames.size())).ok() && payload.size() == bytes.size());
  const auto received = decode_sequence(payload);
  if (!received.ok()) return;
  // Whatever was let pass can be read, as an engine of that block size reads it.
  const KvImport kv = received->kv(payload);
  std::vector<float> block(kv.block_floats);
  for (int i = 0; kv.block_floats > 0 && i * 16 < kv.num_positions; ++i) kv.read_block(i, block);
}

}  // namespace jigsaw::fuzz
