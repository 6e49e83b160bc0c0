#include "workers/reduction/split_exchange.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <random>

#include "core/philox.h"
#include "tests/support/fake_clock.h"
#include "tests/workers/reduction/fake_network.h"

namespace jigsaw {
namespace {

using Kind = SplitItem::Kind;
using Name = SplitExchange::Name;

// More than two pieces, and an end that fills none.
constexpr std::size_t kFloats = 2 * SplitExchange::kPieceFloats + 37;

std::vector<float> floats_of(const Name& name, std::size_t count) {
  std::vector<float> floats(count);
  for (std::size_t i = 0; i < count; ++i) {
    floats[i] = static_cast<float>(philox_uniform(name.sample, static_cast<std::uint64_t>(name.item.chunk), i % 1009));
  }
  return floats;
}

class SplitExchangeTest : public testing::Test {
 protected:
  SplitExchange& add_worker(PeerId worker) {
    links_.push_back(std::make_unique<FakeLinks>(worker, network_));
    return *exchanges_.emplace(worker, std::make_unique<SplitExchange>(*links_.back(), 3, clock_)).first->second;
  }
  void deliver(const Message& message) {
    const auto to = exchanges_.find(message.to);
    if (to == exchanges_.end()) return;
    if (message.content.has_split()) to->second->on_part(message.from, message.content.split());
    if (message.content.has_split_request()) to->second->on_request(message.from, message.content.split_request());
  }
  // Carries messages in any order until `exchange` has so many items; loses and doubles some.
  std::vector<Name> run(SplitExchange& exchange, std::size_t count, double loss = 0.0, std::uint32_t seed = 1) {
    std::mt19937 random(seed);
    std::vector<Name> arrived;
    for (int round = 0; round < 5000 && arrived.size() < count; ++round) {
      for (const auto& [worker, one] : exchanges_) one->serve();
      if (network_.empty()) clock_.advance(std::chrono::milliseconds(100));
      if (!network_.empty()) {
        const auto at = network_.begin() + static_cast<std::ptrdiff_t>(random() % network_.size());
        const Message message = *at;
        const double fate = std::uniform_real_distribution<>(0, 1)(random);
        if (fate >= loss) deliver(message);
        if (loss == 0 || fate < 0.9) network_.erase(at);  // else it comes again
      }
      for (const Name& name : exchange.take_arrived()) arrived.push_back(name);
    }
    return arrived;
  }

  FakeClock clock_;
  Network network_;
  std::vector<std::unique_ptr<FakeLinks>> links_;
  std::map<PeerId, std::unique_ptr<SplitExchange>> exchanges_;
};

TEST_F(SplitExchangeTest, LostDoubledAndReorderedMessagesBringWhatWasMade) {
  SplitExchange &first = add_worker(1), &second = add_worker(2), &third = add_worker(3);
  const Name a{4, {Kind::kKeysValues, 1, 2, 1}}, b{4, {Kind::kKeysValuesGradients, 0, 0, 2}},
      c{5, {Kind::kScores, 0, 3, 1}};
  const auto floats_a = floats_of(a, kFloats), floats_b = floats_of(b, kFloats), floats_c = floats_of(c, 7);
  std::vector<float> to_a(kFloats), to_b(kFloats), to_c(7);
  for (SplitExchange* exchange : {&first, &second, &third}) exchange->begin(1, {1, 2, 3});
  second.publish(a, floats_a);
  third.publish(b, floats_b);
  second.publish(c, floats_c);
  first.fetch(2, a, to_a);
  first.fetch(2, a, to_a);  // it is under way
  first.fetch(3, b, to_b);
  first.fetch(2, c, to_c);
  EXPECT_EQ(first.waiting_for(), "chunks of sample 4 from worker 2");
  EXPECT_THAT(run(first, 3, 0.2), testing::UnorderedElementsAre(a, b, c));
  EXPECT_EQ(to_a, floats_a);
  EXPECT_EQ(to_b, floats_b);
  EXPECT_EQ(to_c, floats_c);
  EXPECT_EQ(first.waiting_for(), "");
}

TEST_F(SplitExchangeTest, WhoAsksBeforeTheOtherHasBegunOrMadeItGetsItLater) {
  SplitExchange &first = add_worker(1), &second = add_worker(2);
  const Name name{0, {Kind::kScores, 0, 1, 1}};
  const auto floats = floats_of(name, 20);
  std::vector<float> to(20);
  first.begin(8, {1, 2});
  first.fetch(2, name, to);
  EXPECT_TRUE(run(first, 1).empty());
  second.begin(8, {1, 2});
  EXPECT_TRUE(run(first, 1).empty());
  second.publish(name, floats);
  EXPECT_EQ(run(first, 1).size(), 1u);
  EXPECT_EQ(to, floats);
}

TEST_F(SplitExchangeTest, WhatIsWithdrawnOrOverIsNotSent) {
  SplitExchange &first = add_worker(1), &second = add_worker(2);
  const Name keys{0, {Kind::kKeysValues, 0, 1, 1}}, gradients{0, {Kind::kKeysValuesGradients, 0, 0, 1}};
  const auto floats = floats_of(keys, 20);
  std::vector<float> to_keys(20), to_gradients(20);
  for (SplitExchange* exchange : {&first, &second}) exchange->begin(1, {1, 2});
  second.publish(keys, floats);
  second.publish(gradients, floats);
  second.withdraw_all_but_gradients(0);
  first.fetch(2, keys, to_keys);
  first.fetch(2, gradients, to_gradients);
  EXPECT_THAT(run(first, 2), testing::ElementsAre(gradients));
  // Given up: an answer that is still on its way touches nothing.
  second.publish(keys, floats);
  for (int i = 0; i < 100; ++i) second.serve();
  first.end();
  for (const Message& message : std::exchange(network_, {})) deliver(message);
  EXPECT_EQ(to_keys, std::vector<float>(20));
  second.end();
  for (SplitExchange* exchange : {&first, &second}) exchange->begin(2, {1, 2});
  first.fetch(2, keys, to_keys);
  EXPECT_TRUE(run(first, 1).empty()) << "of the attempt before";
}

TEST_F(SplitExchangeTest, WhatDoesNotFitIsDropped) {
  SplitExchange &first = add_worker(1), &second = add_worker(2);
  const Name name{0, {Kind::kScores, 0, 1, 1}};
  const auto floats = floats_of(name, 20);
  std::vector<float> to(20);
  for (SplitExchange* exchange : {&first, &second}) exchange->begin(1, {1, 2});
  second.publish(name, floats);
  first.fetch(2, name, to);
  wire::SplitPart part;
  part.set_attempt(1);
  part.mutable_item()->set_kind(1);
  part.mutable_item()->set_chunk(1);
  part.mutable_item()->set_pair(1);
  part.set_floats(std::string(76, 'x'));  // a float short
  first.on_part(2, part);
  part.set_floats(std::string(80, 'x'));
  part.set_offset(4);
  first.on_part(2, part);
  part.set_offset(std::uint64_t{1} << 62);
  first.on_part(2, part);
  part.set_offset(0);
  first.on_part(3, part);  // not from who was asked
  part.mutable_item()->set_kind(std::numeric_limits<std::uint32_t>::max());
  first.on_part(2, part);
  wire::SplitRequest request;
  request.set_attempt(1);
  *request.mutable_item() = part.item();
  second.on_request(1, request);
  request.mutable_item()->set_kind(1);
  request.set_offset(18);
  request.set_count(3);
  second.on_request(1, request);
  request.set_offset(~std::uint64_t{0});
  second.on_request(1, request);
  request.set_offset(0);
  second.on_request(7, request);  // no participant
  EXPECT_EQ(to, std::vector<float>(20));
  EXPECT_THAT(run(first, 1), testing::ElementsAre(name));
  EXPECT_EQ(to, floats);
}

// A peer that asks without end and takes nothing: what is kept for it is bounded.
TEST_F(SplitExchangeTest, AFloodOfRequestsIsNotAnsweredWithoutBound) {
  SplitExchange& exchange = add_worker(1);
  exchange.begin(1, {1, 2});
  const Name name{0, {Kind::kScores, 0, 1, 1}};
  const auto floats = floats_of(name, 20000);
  exchange.publish(name, floats);
  wire::SplitRequest request;
  request.set_attempt(1);
  request.mutable_item()->set_kind(1);
  request.mutable_item()->set_chunk(1);
  request.mutable_item()->set_pair(1);
  request.set_count(1);
  for (std::uint32_t i = 0; i < 5000; ++i) {
    request.set_offset(i);
    exchange.on_request(2, request);
  }
  std::size_t num_answers = 0;
  do {
    network_.clear();
    exchange.serve();
    num_answers += network_.size();
  } while (!network_.empty());
  EXPECT_EQ(num_answers, SplitExchange::kAnswersQueued + SplitExchange::kRequestsKept);
}

}  // namespace
}  // namespace jigsaw
