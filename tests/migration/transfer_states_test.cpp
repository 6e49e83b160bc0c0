// Single steps of the two sides, by hand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "migration/transfer_source.h"
#include "migration/transfer_target.h"

namespace jigsaw {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

constexpr PeerId kSource = 1, kTarget = 2;
constexpr TransferTerms kTerms{.to_node = 9, .sample = 3, .num_tokens = 100, .chunks_max = 20};

class TransferSourceTest : public testing::Test {
 protected:
  std::vector<SourceMessage> sent(const std::set<PeerId>& blocked = {}) {
    std::vector<SourceMessage> messages;
    while (const auto message = source.next_message(blocked, now)) messages.push_back(message->message);
    return messages;
  }
  // Up to the Commit; the window has room for all.
  TransferId committed(std::uint32_t num_chunks) {
    const TransferId id = source.offer(kTarget, kTerms, now);
    sent();
    source.on_message(kTarget, Reserved{id, num_chunks}, now);
    source.take_actions();
    EXPECT_TRUE(source.payload(id, num_chunks, now));
    EXPECT_EQ(sent().back(), SourceMessage(Commit{id, id, num_chunks}));
    return id;
  }
  TransferSource::Action only_action() {
    const auto actions = source.take_actions();
    EXPECT_EQ(actions.size(), 1u);
    return actions.empty() ? TransferSource::Action() : actions.front();
  }
  TransferSource source{{}};
  Clock::TimePoint now{};
};

TEST_F(TransferSourceTest, ChunksKeepWithinTheCreditAndTheCommitFollowsTheLast) {
  const TransferId id = source.offer(kTarget, kTerms, now);
  EXPECT_EQ(sent(), std::vector<SourceMessage>{(Offer{id, id, kTerms})});
  source.on_message(kTarget, Reserved{id, 2}, now);
  EXPECT_EQ(only_action().what, TransferSource::Do::kFreeze);
  ASSERT_TRUE(source.payload(id, 3, now));
  EXPECT_EQ(sent(), (std::vector<SourceMessage>{Chunk{id, 0}, Chunk{id, 1}}));
  source.on_message(kTarget, Credit{id, 1, 3}, now);
  EXPECT_EQ(sent(), (std::vector<SourceMessage>{Chunk{id, 2}, Commit{id, id, 3}}));
  source.on_message(kTarget, Ack{id}, now);
  EXPECT_EQ(only_action().what, TransferSource::Do::kForget);
  EXPECT_EQ(source.num_open(), 0);
}

TEST_F(TransferSourceTest, MissingChunksAreSentAgainWithTheCommit) {
  const TransferId id = committed(4);
  source.on_message(kTarget, Credit{id, 2, 10, true}, now);
  EXPECT_EQ(sent(), (std::vector<SourceMessage>{Chunk{id, 2}, Chunk{id, 3}, Commit{id, id, 4}}));
}

TEST_F(TransferSourceTest, AfterACommitOnlyTheTargetDecides) {
  const TransferId id = committed(1);
  source.cancel(id);
  now += std::chrono::hours(1);
  source.on_time(now);
  EXPECT_EQ(only_action().what, TransferSource::Do::kUnanswered);
  EXPECT_EQ(sent(), std::vector<SourceMessage>{(Commit{id, id, 1})});
  now += std::chrono::hours(1);
  source.on_time(now);
  EXPECT_TRUE(source.take_actions().empty());  // it was told
  source.on_message(kTarget, Gone{id, "never had it"}, now);
  const auto action = only_action();
  EXPECT_EQ(action.what, TransferSource::Do::kGoOn);
  EXPECT_EQ(action.reason, "never had it");
}

TEST_F(TransferSourceTest, TheLossOfTheTargetTakesBackEvenWhatIsCommitted) {
  committed(1);
  source.on_peer_lost(7);
  EXPECT_TRUE(source.take_actions().empty());
  source.on_peer_lost(kTarget);
  EXPECT_EQ(only_action().what, TransferSource::Do::kGoOn);
}

TEST_F(TransferSourceTest, DeadlinesBeforeTheCommitTakeBackByName) {
  const auto passes = [&](const std::string& name) {
    now += seconds(60);
    source.on_time(now);
    const auto action = only_action();
    EXPECT_EQ(action.what, TransferSource::Do::kGoOn);
    EXPECT_THAT(action.reason, HasSubstr("'" + name + "'"));
    EXPECT_TRUE(std::holds_alternative<Abort>(sent().back()));
  };
  source.offer(kTarget, kTerms, now);
  passes("offer");
  TransferId id = source.offer(kTarget, kTerms, now);
  source.on_message(kTarget, Reserved{id, 1}, now);
  source.take_actions();
  passes("freeze");
  id = source.offer(kTarget, kTerms, now);
  source.on_message(kTarget, Reserved{id, 1}, now);
  source.take_actions();
  source.payload(id, 2, now);
  passes("chunks");
}

TEST_F(TransferSourceTest, WhoIsNotTheTargetHasNoSay) {
  const TransferId id = committed(1);
  source.on_message(kSource, Ack{id}, now);
  source.on_message(7, Gone{id}, now);
  EXPECT_TRUE(source.take_actions().empty());
  EXPECT_EQ(source.num_open(), 1);
}

TEST_F(TransferSourceTest, ABlockedPeerKeepsItsMessages) {
  const TransferId id = source.offer(kTarget, kTerms, now);
  EXPECT_TRUE(sent({kTarget}).empty());
  EXPECT_EQ(sent(), std::vector<SourceMessage>{(Offer{id, id, kTerms})});
}

TEST_F(TransferSourceTest, UnansweredMessagesAreSentAgainEverMoreRarely) {
  source.offer(kTarget, kTerms, now);
  sent();
  int num_sent = 0;
  for (int i = 0; i < 90; ++i) {
    now += milliseconds(100);
    source.on_time(now);
    num_sent += static_cast<int>(sent().size());
  }
  EXPECT_EQ(num_sent, 4);  // after 0.5, 1.5, 3.5 and 7.5 s
}

class TransferTargetTest : public testing::Test {
 protected:
  std::vector<TargetMessage> sent() {
    std::vector<TargetMessage> messages;
    while (const auto message = target.next_message({})) messages.push_back(message->message);
    return messages;
  }
  void reserve(TransferId id) {
    target.on_message(kSource, Offer{id, id, kTerms}, now);
    ASSERT_EQ(target.take_actions().size(), 1u);
    target.reserve({kSource, id}, now);
  }
  TransferTarget target{{.reserved_chunks_max = 40, .window_chunks = 4}};
  Clock::TimePoint now{};
};

TEST_F(TransferTargetTest, ActivatesOnceAllChunksAreThereAndRemembersIt) {
  const TransferId id{5};
  reserve(id);
  EXPECT_EQ(sent(), std::vector<TargetMessage>{(Reserved{id, 4})});
  EXPECT_TRUE(target.on_chunk(kSource, {id, 1}, now));
  EXPECT_FALSE(target.on_chunk(kSource, {id, 1}, now));  // again
  target.on_message(kSource, Commit{id, id, 2}, now);
  EXPECT_EQ(sent(), std::vector<TargetMessage>{(Credit{id, 0, 4, true})});
  EXPECT_TRUE(target.on_chunk(kSource, {id, 0}, now));
  target.on_message(kSource, Commit{id, id, 2}, now);
  ASSERT_EQ(target.take_actions().front().what, TransferTarget::Do::kActivate);
  target.activated({kSource, id}, std::nullopt);
  EXPECT_EQ(target.reserved_chunks(), 0u);
  EXPECT_THAT(sent(), testing::Contains(TargetMessage(Ack{id})));
  target.on_message(kSource, Commit{id, id, 2}, now);
  target.on_message(kSource, Offer{id, id, kTerms}, now);
  EXPECT_EQ(sent(), std::vector<TargetMessage>{Ack{id}});
  EXPECT_TRUE(target.take_actions().empty());
}

// Whatever old messages arrive, in whatever order.
TEST_F(TransferTargetTest, WhatItSaidIsGoneNeverComesBack) {
  const TransferId unknown{5}, aborted{6}, lost_chunk{7}, dropped{8};
  target.on_message(kSource, Commit{unknown, unknown, 1}, now);
  target.on_message(kSource, Abort{aborted, unknown}, now);
  target.on_chunk(kSource, {lost_chunk, 0}, now);
  reserve(dropped);
  now += seconds(60);
  target.on_time(now);
  EXPECT_THAT(target.take_actions().front().reason, HasSubstr("'reservation'"));
  sent();
  for (const TransferId id : {unknown, aborted, lost_chunk, dropped}) {
    target.on_message(kSource, Offer{id, unknown, kTerms}, now);
    EXPECT_TRUE(target.take_actions().empty());
    const auto answers = sent();
    ASSERT_EQ(answers.size(), 1u);
    EXPECT_TRUE(std::holds_alternative<Gone>(answers[0]));
  }
}

TEST_F(TransferTargetTest, MemoryIsBounded) {
  reserve(TransferId{1});
  reserve(TransferId{2});
  EXPECT_EQ(target.reserved_chunks(), 40u);
  sent();
  target.on_message(kSource, Offer{TransferId{3}, TransferId{1}, kTerms}, now);
  EXPECT_TRUE(target.take_actions().empty());
  EXPECT_TRUE(std::holds_alternative<Gone>(sent().at(0)));
  target.on_peer_lost(kSource);
  EXPECT_EQ(target.reserved_chunks(), 0u);
}

TEST_F(TransferTargetTest, WhoSendsMoreThanItHasCreditForIsDropped) {
  const TransferId id{1};
  reserve(id);
  EXPECT_FALSE(target.on_chunk(kSource, {id, 4}, now));
  EXPECT_EQ(target.take_actions().at(0).what, TransferTarget::Do::kDrop);
  reserve(TransferId{2});
  target.on_message(kSource, Commit{TransferId{2}, TransferId{2}, kTerms.chunks_max + 1}, now);
  EXPECT_EQ(target.take_actions().at(0).what, TransferTarget::Do::kDrop);
}

TEST_F(TransferTargetTest, WhatIsSettledIsForgotten) {
  for (std::uint64_t i = 1; i <= 3; ++i) {
    const TransferId id{i};
    reserve(id);
    target.on_chunk(kSource, {id, 0}, now);
    target.on_message(kSource, Commit{id, TransferId{1}, 1}, now);
    target.take_actions();
    target.activated({kSource, id}, std::nullopt);
  }
  sent();
  target.on_message(kSource, Abort{TransferId{4}, TransferId{3}}, now);
  target.on_message(kSource, Commit{TransferId{2}, TransferId{3}, 1}, now);  // an old one, nobody waits for the answer
  target.on_message(kSource, Commit{TransferId{3}, TransferId{3}, 1}, now);
  const auto answers = sent();
  ASSERT_EQ(answers.size(), 2u);
  EXPECT_TRUE(std::holds_alternative<Gone>(answers[0]));
  EXPECT_TRUE(std::holds_alternative<Ack>(answers[1]));
}

}  // namespace
}  // namespace jigsaw
