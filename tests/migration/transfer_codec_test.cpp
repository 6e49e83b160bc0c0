#include "migration/transfer_codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "migration/move_cost.h"

namespace jigsaw {
namespace {

using testing::HasSubstr;

constexpr TransferId kId{(std::uint64_t{7} << 32) + 9};

std::string random_bytes(std::size_t count, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::string bytes(count, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  return bytes;
}

std::vector<std::string> frames_of(const std::string& payload, Compression compression, std::size_t step) {
  PayloadWriter writer(kId, payload.size(), compression);
  for (std::size_t begin = 0; begin < payload.size(); begin += step) {
    writer.append(std::span(payload).subspan(begin, std::min(step, payload.size() - begin)));
  }
  return writer.finish();
}

Result<ReceivedChunk> receive(MessageBytes frame) {
  const auto decoded = decode_peer_frame(frame);
  if (!decoded.ok()) return decoded.error();
  return ReceivedChunk::check(std::move(frame), *decoded);
}

TEST(TransferCodecTest, MessagesComeOutAsTheyWentIn) {
  const TransferTerms terms{.to_node = 1ull << 60, .sample = 3, .num_tokens = 4, .chunks_max = 5};
  for (const SourceMessage& message :
       std::vector<SourceMessage>{Offer{kId, TransferId{2}, terms}, Commit{kId, TransferId{2}, 8}, Abort{kId, kId}}) {
    const std::string frame = encode(message);
    const auto decoded = decode(decode_peer_frame(frame)->message);
    ASSERT_TRUE(decoded.has_value());
    EXPECT_EQ(std::get<SourceMessage>(*decoded), message);
  }
  for (const TargetMessage& message :
       std::vector<TargetMessage>{Reserved{kId, 8}, Credit{kId, 1, 9, true}, Ack{kId}, Gone{kId, "why"}}) {
    const std::string frame = encode(message);
    const auto decoded = decode(decode_peer_frame(frame)->message);
    ASSERT_TRUE(decoded.has_value());
    EXPECT_EQ(std::get<TargetMessage>(*decoded), message);
  }
}

TEST(TransferCodecTest, PayloadsOfAnySizeAndCutAreReadBackWhole) {
  for (const std::size_t size : {std::size_t{1}, kChunkBytes - 1, kChunkBytes, kChunkBytes + 1, 3 * kChunkBytes + 77}) {
    const std::string payload = random_bytes(size, size);
    const std::vector<std::string> frames = frames_of(payload, Compression::kNone, 300001);
    ASSERT_EQ(frames.size(), num_chunks_for(size));
    ReceivedPayload received;
    for (std::size_t i = frames.size(); i-- > 0;) {
      EXPECT_LE(frames[i].size(), kChunkBytes + 64);
      const auto decoded = decode_peer_frame(frames[i]);
      EXPECT_EQ(std::get<SourceMessage>(*decode(decoded->message)),
                SourceMessage(Chunk{kId, static_cast<std::uint32_t>(i)}));
      auto chunk = receive(frames[i]);
      ASSERT_TRUE(chunk.ok()) << chunk.error().message();
      received.add(static_cast<std::uint32_t>(i), *std::move(chunk));
    }
    ASSERT_TRUE(received.check_complete(num_chunks_for(size)).ok());
    ASSERT_EQ(received.size(), size);
    std::string back(size, '\0');
    received.read(0, back);
    EXPECT_TRUE(back == payload);
    if (size > kChunkBytes + 5) {
      std::string across(10, '\0');
      received.read(kChunkBytes - 5, across);
      EXPECT_EQ(across, payload.substr(kChunkBytes - 5, 10));
    }
  }
}

TEST(TransferCodecTest, CompressionIsKeptWhereItSaves) {
  const std::string dull(kChunkBytes, 'a'), random = random_bytes(kChunkBytes, 1);
  const std::vector<std::string> frames = frames_of(dull + random, Compression::kWhereSmaller, kChunkBytes);
  EXPECT_LT(frames[0].size(), kChunkBytes / 100);
  EXPECT_GT(frames[1].size(), kChunkBytes);
  EXPECT_EQ(receive(frames[0])->bytes(), dull);
  EXPECT_EQ(receive(frames[1])->bytes(), random);
}

// Any single byte changed, in the bytes or the checksum, is seen; in the header, it is at worst another transfer's.
TEST(TransferCodecTest, ADamagedChunkIsRefused) {
  const std::string payload = random_bytes(1000, 5);
  const std::string frame = frames_of(payload, Compression::kNone, 1000)[0];
  const std::size_t begin = frame.size() - 1008;
  for (std::size_t i = begin; i < frame.size(); ++i) {
    std::string damaged = frame;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x10);
    const auto chunk = receive(damaged);
    ASSERT_FALSE(chunk.ok());
    EXPECT_THAT(chunk.error().message(), HasSubstr("checksum"));
  }
  for (std::size_t size = 0; size < frame.size(); size += 7) EXPECT_FALSE(receive(frame.substr(0, size)).ok());
}

TEST(TransferCodecTest, LengthsThatLieAreRefusedBeforeMemoryIsTaken) {
  wire::PeerMessage message;
  message.mutable_chunk()->set_raw_bytes(0xffffffffu);
  std::string behind(100, 'x');
  const std::string honest = frames_of(behind, Compression::kNone, 100)[0];
  behind += honest.substr(honest.size() - 8);  // its checksum
  const auto chunk = receive(begin_peer_frame(message) + behind);
  ASSERT_FALSE(chunk.ok());
  EXPECT_THAT(chunk.error().message(), HasSubstr("too large"));
  message.mutable_chunk()->set_raw_bytes(1000);
  EXPECT_THAT(receive(begin_peer_frame(message) + behind).error().message(), HasSubstr("decompress"));
  EXPECT_FALSE(decode_peer_frame(std::string("\0\xff\xff\xff\xff", 5)).ok());
  EXPECT_FALSE(decode_peer_frame("").ok());
  EXPECT_FALSE(decode_peer_frame(std::string(5, '\0')).ok());  // an empty message
}

TEST(TransferCodecTest, PayloadsWithGapsAreNotComplete) {
  const std::vector<std::string> frames = frames_of(random_bytes(2 * kChunkBytes + 1, 3), Compression::kNone, 1 << 20);
  ReceivedPayload received;
  received.add(0, *receive(frames[0]));
  received.add(2, *receive(frames[2]));
  EXPECT_FALSE(received.check_complete(3).ok());
  EXPECT_FALSE(received.check_complete(2).ok());
  received.add(1, *receive(frames[2]));  // a short one in the middle
  EXPECT_FALSE(received.check_complete(3).ok());
  received.add(1, *receive(frames[1]));
  EXPECT_TRUE(received.check_complete(3).ok());
}

TEST(MoveCostTest, PicksWhatIsFasterByTheMeasuredRates) {
  MoveCost cost;
  cost.on_copied(1'000'000, 0.01);  // 100 MB/s
  cost.on_prefilled(500, 1);        // 500 tokens/s
  EXPECT_DOUBLE_EQ(cost.link_bytes_per_s(), 1e8);
  EXPECT_DOUBLE_EQ(cost.prefill_tokens_per_s(), 500);
  EXPECT_EQ(cost.choose(10'000'000, 40), MoveWay::kRecompute);  // 0.1 s against 0.08 s
  EXPECT_EQ(cost.choose(10'000'000, 60), MoveWay::kKvCopy);     // 0.1 s against 0.12 s
  EXPECT_EQ(cost.choose(10'000'000, 50), MoveWay::kRecompute);  // a tie
  cost.on_copied(1'000'000, 0.0025);                            // 400 MB/s, weighs a quarter: 175 MB/s
  EXPECT_DOUBLE_EQ(cost.link_bytes_per_s(), 1.75e8);
  EXPECT_EQ(cost.choose(10'000'000, 40), MoveWay::kKvCopy);
  cost.on_copied(0, 1);
  cost.on_prefilled(1, 0);
  EXPECT_DOUBLE_EQ(cost.link_bytes_per_s(), 1.75e8);
}

}  // namespace
}  // namespace jigsaw
