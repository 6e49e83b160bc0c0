// Two services over links of one process; payloads of several chunks, links that are full, bytes that are wrong.
#include "migration/transfer_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "core/transport/inproc_peer_links.h"
#include "tests/support/fake_clock.h"

namespace jigsaw {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string random_bytes(std::size_t count, std::uint32_t seed) {
  std::mt19937 random(seed);
  std::string bytes(count, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  return bytes;
}

class Host : public TransferHost {
 public:
  // As the source.
  std::map<TransferId, std::string> payloads;
  std::vector<TransferId> moved;
  std::vector<std::string> taken_back;  // reasons
  // As the target.
  std::string refuse_because, reject_because;
  std::vector<std::string> taken, dropped;
  int num_reserved = 0;

  std::vector<std::string> freeze(TransferId id) override {
    if (!payloads.contains(id)) return {};
    PayloadWriter writer(id, payloads.at(id).size(), Compression::kNone);
    writer.append(payloads.at(id));
    return writer.finish();
  }
  void on_moved(TransferId id) override { moved.push_back(id); }
  void on_taken_back(TransferId, const std::string& reason) override { taken_back.push_back(reason); }
  Status reserve(TransferTarget::Key, const TransferTerms&) override {
    if (!refuse_because.empty()) return Error(ErrorCode::kResourceExhausted, refuse_because);
    ++num_reserved;
    return ok_status();
  }
  Status activate(TransferTarget::Key, const TransferTerms&, const ReceivedPayload& payload) override {
    --num_reserved;
    if (!reject_because.empty()) return Error(ErrorCode::kCorrupt, reject_because);
    std::string& bytes = taken.emplace_back(payload.size(), '\0');
    payload.read(0, bytes);
    return ok_status();
  }
  void drop(TransferTarget::Key, const std::string& reason) override {
    --num_reserved;
    dropped.push_back(reason);
  }
};

class TransferServiceTest : public testing::Test {
 protected:
  explicit TransferServiceTest(int queued_messages_max = 3) : hub_(2, queued_messages_max) {
    for (auto* links : {source_links_.get(), target_links_.get()}) EXPECT_TRUE(links->set_peers(hub_.addresses()).ok());
  }

  TransferId offer(const std::string& payload, std::uint32_t sample = 0) {
    const TransferId id = source_.offer(
        2, {.to_node = 1, .sample = sample, .num_tokens = 9, .chunks_max = num_chunks_for(payload.size())});
    source_host_.payloads[id] = payload;
    return id;
  }
  // `change`: what happens to a frame on its way to the target.
  void deliver(PeerLinks& links, TransferService& to, const std::function<void(std::string&)>& change = nullptr) {
    while (true) {
      auto received = links.receive(std::chrono::milliseconds(0));
      ASSERT_TRUE(received.ok());
      if (!*received) return;
      if (change) {
        std::string changed((*received)->bytes.view());
        change(changed);
        (*received)->bytes = std::move(changed);
      }
      const auto decoded = decode_peer_frame((*received)->bytes);
      if (!decoded.ok()) continue;
      EXPECT_TRUE(to.on_frame((*received)->from, (*received)->bytes, *decoded));
    }
  }
  void run(int rounds, const std::function<void(std::string&)>& change = nullptr) {
    for (int i = 0; i < rounds; ++i) {
      source_.serve();
      deliver(*target_links_, target_, change);
      target_.serve();
      deliver(*source_links_, source_);
      clock_.advance(std::chrono::milliseconds(10));
    }
  }

  FakeClock clock_;
  InprocLinkHub hub_;
  std::unique_ptr<PeerLinks> source_links_ = hub_.links(1), target_links_ = hub_.links(2);
  Host source_host_, target_host_;
  TransferService source_{*source_links_, source_host_, clock_}, target_{*target_links_, target_host_, clock_};
};

TEST_F(TransferServiceTest, PayloadsOfManyChunksArriveWholeOverLinksThatAreOftenFull) {
  std::vector<std::string> payloads;
  for (std::uint32_t i = 0; i < 4; ++i) payloads.push_back(random_bytes(kChunkBytes * i * 5 + 17, i));
  for (const std::string& payload : payloads) offer(payload);
  run(200);
  EXPECT_THAT(target_host_.taken, testing::UnorderedElementsAreArray(payloads));
  EXPECT_EQ(source_host_.moved.size(), payloads.size());
  EXPECT_THAT(source_host_.taken_back, IsEmpty());
  EXPECT_EQ(source_.num_open() + target_.num_open() + target_host_.num_reserved, 0);
}

TEST_F(TransferServiceTest, AChunkWhoseBytesAreWrongIsSentAgain) {
  const std::string payload = random_bytes(3 * kChunkBytes, 1);
  offer(payload);
  int num_spoilt = 0;
  run(400, [&](std::string& frame) {
    if (frame.size() > kChunkBytes && num_spoilt++ < 2) frame[frame.size() / 2] ^= 1;
  });
  EXPECT_GT(num_spoilt, 2);
  EXPECT_THAT(target_host_.taken, ElementsAre(payload));
}

TEST_F(TransferServiceTest, ATargetWithoutRoomRefusesInWords) {
  target_host_.refuse_because = "its KV cache is full";
  offer("some");
  run(5);
  EXPECT_THAT(source_host_.taken_back, ElementsAre(HasSubstr("its KV cache is full")));
  EXPECT_THAT(target_host_.taken, IsEmpty());
}

TEST_F(TransferServiceTest, WhatTheTargetCannotUseStaysWithTheSource) {
  target_host_.reject_because = "another prompt";
  offer("some");
  run(5);
  EXPECT_THAT(source_host_.taken_back, ElementsAre(HasSubstr("another prompt")));
  EXPECT_THAT(source_host_.moved, IsEmpty());
  EXPECT_EQ(target_host_.num_reserved, 0);
}

TEST_F(TransferServiceTest, ASequenceThatHasEndedMeanwhileIsNotMoved) {
  source_host_.payloads.erase(offer("some"));
  run(5);
  EXPECT_EQ(source_host_.taken_back.size(), 1u);
  EXPECT_EQ(target_host_.dropped.size(), 1u);
  EXPECT_EQ(source_.num_open() + target_.num_open(), 0);
}

TEST_F(TransferServiceTest, WhatIsGivenUpIsHeardOfNoMore) {
  const TransferId id = offer(random_bytes(40 * kChunkBytes, 3));
  run(4);
  ASSERT_EQ(target_host_.num_reserved, 1);
  source_.forget(id);
  run(20);
  EXPECT_THAT(source_host_.moved, IsEmpty());
  EXPECT_THAT(source_host_.taken_back, IsEmpty());
  EXPECT_EQ(target_host_.num_reserved, 0);
}

TEST_F(TransferServiceTest, WithoutItsTargetASequenceGoesOn) {
  offer(random_bytes(40 * kChunkBytes, 3));
  run(4);
  source_.on_peer_lost(2);
  source_.serve();
  EXPECT_THAT(source_host_.taken_back, ElementsAre(HasSubstr("lost")));
  target_.on_peer_lost(1);
  target_.serve();
  EXPECT_EQ(target_host_.num_reserved, 0);
  EXPECT_EQ(source_.num_open() + target_.num_open(), 0);
}

}  // namespace
}  // namespace jigsaw
