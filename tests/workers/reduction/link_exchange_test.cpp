#include "workers/reduction/link_exchange.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "core/philox.h"
#include "tests/support/fake_clock.h"
#include "tests/workers/reduction/fake_network.h"
#include "workers/trainer/slot_tree.h"

namespace jigsaw {
namespace {

// Of three segments with more than a chunk each, and an end that fills no chunk.
constexpr std::size_t kFloats = 4 * LinkExchange::kChunkFloats + 37;

AlignedFloats slot_gradient(int slot) {
  AlignedFloats gradient(kFloats);
  for (std::size_t i = 0; i < kFloats; ++i) {
    gradient.data()[i] = static_cast<float>(philox_uniform(5, static_cast<std::uint64_t>(slot), i % 1009) - 0.5) *
                         static_cast<float>(i % 7 + 1);
  }
  return gradient;
}

class Cluster {
 public:
  Cluster(std::vector<PeerId> workers, std::uint32_t seed) : random_(seed), workers_(std::move(workers)) {
    for (const PeerId worker : workers_) {
      links_.push_back(std::make_unique<FakeLinks>(worker, network_));
      exchanges_.push_back(std::make_unique<LinkExchange>(*links_.back(), worker, 3, clock_));
    }
  }

  LinkExchange& exchange_of(PeerId worker) {
    return *exchanges_[static_cast<std::size_t>(std::ranges::find(workers_, worker) - workers_.begin())];
  }

  void start(PeerId worker, const ExchangeWork& work) {
    Lane lane(1);
    SlotSum sum(static_cast<int>(work.owners.size()));
    for (int slot = 0; slot < static_cast<int>(work.owners.size()); ++slot) {
      if (work.owners[static_cast<std::size_t>(slot)] == worker) sum.add(lane, {slot, 0}, slot_gradient(slot));
    }
    ASSERT_TRUE(exchange_of(worker).start(work, std::move(sum), kFloats).ok());
  }

  // Carries, loses, doubles and reorders messages until all of these have the gradient; false when it takes too long.
  bool run(const std::vector<PeerId>& workers, std::map<PeerId, AlignedFloats>& gradients, double loss) {
    for (int round = 0; round < 20000; ++round) {
      for (const PeerId worker : workers) {
        auto gradient = exchange_of(worker).poll();
        if (gradient.ok() && *gradient) gradients[worker] = **std::move(gradient);
      }
      if (gradients.size() == workers.size()) return true;
      if (network_.empty()) {
        clock_.advance(std::chrono::milliseconds(100));
        continue;
      }
      const auto at = network_.begin() + static_cast<std::ptrdiff_t>(random_() % network_.size());
      const Message message = *at;
      const double fate = std::uniform_real_distribution<>(0, 1)(random_);
      if (fate > loss) deliver(message);
      if (fate < 0.9) network_.erase(at);  // else it comes again
    }
    return false;
  }

  void deliver(const Message& message) {
    if (std::ranges::find(workers_, message.to) == workers_.end()) return;
    LinkExchange& exchange = exchange_of(message.to);
    if (message.content.has_gradient()) exchange.on_part(message.from, message.content.gradient());
    if (message.content.has_gradient_request()) exchange.on_request(message.from, message.content.gradient_request());
  }

  FakeClock clock_;
  std::mt19937 random_;
  Network network_;
  std::vector<PeerId> workers_;
  std::vector<std::unique_ptr<FakeLinks>> links_;
  std::vector<std::unique_ptr<LinkExchange>> exchanges_;
};

AlignedFloats expected_sum(int num_slots) {
  Lane lane(1);
  std::vector<AlignedFloats> slots;
  std::vector<std::span<float>> spans;
  for (int slot = 0; slot < num_slots; ++slot) slots.push_back(slot_gradient(slot));
  for (AlignedFloats& slot : slots) spans.push_back(slot.span());
  sum_slots(lane, spans);
  return std::move(slots[0]);
}

bool same_bits(const AlignedFloats& a, const AlignedFloats& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

TEST(LinkExchangeTest, LostDoubledAndReorderedMessagesGiveTheBitsOfTheTree) {
  const AlignedFloats expected = expected_sum(5);
  for (std::uint32_t seed = 1; seed <= 4; ++seed) {
    Cluster cluster({1, 3, 4}, seed);
    for (std::uint64_t attempt = 1; attempt <= 2; ++attempt) {
      // In the second one a worker has no slot.
      const ExchangeWork work{.owners = attempt == 1 ? std::vector<std::uint32_t>{1, 1, 3, 3, 4}
                                                     : std::vector<std::uint32_t>{4, 1, 1, 4, 4},
                              .participants = {1, 3, 4},
                              .attempt = attempt};
      for (const PeerId worker : work.participants) cluster.start(worker, work);
      std::map<PeerId, AlignedFloats> gradients;
      ASSERT_TRUE(cluster.run(work.participants, gradients, 0.2)) << cluster.exchange_of(1).waiting_for();
      for (const auto& [worker, gradient] : gradients)
        EXPECT_TRUE(same_bits(gradient, expected)) << "worker " << worker;
    }
  }
}

TEST(LinkExchangeTest, OneWorkerNeedsNobody) {
  Cluster cluster({2}, 1);
  const ExchangeWork work{.owners = {2, 2, 2}, .participants = {2}, .attempt = 1};
  cluster.start(2, work);
  std::map<PeerId, AlignedFloats> gradients;
  ASSERT_TRUE(cluster.run({2}, gradients, 0));
  EXPECT_TRUE(same_bits(gradients.at(2), expected_sum(3)));
}

TEST(LinkExchangeTest, WhoIsEarlyWaitsAndSaysForWhom) {
  Cluster cluster({1, 2}, 1);
  const ExchangeWork work{.owners = {1, 2}, .participants = {1, 2}, .attempt = 7};
  cluster.start(1, work);
  std::map<PeerId, AlignedFloats> gradients;
  EXPECT_FALSE(cluster.run({1}, gradients, 0));
  EXPECT_EQ(cluster.exchange_of(1).waiting_for(), "gradients of worker 2");
  cluster.start(2, work);
  EXPECT_TRUE(cluster.run({1, 2}, gradients, 0));
  EXPECT_EQ(cluster.exchange_of(1).waiting_for(), "");
}

TEST(LinkExchangeTest, AfterAnAttemptThatWasAbandonedTheNextOneCounts) {
  Cluster cluster({1, 2}, 1);
  const ExchangeWork broken{.owners = {1, 2, 3}, .participants = {1, 2, 3}, .attempt = 1};
  for (const PeerId worker : {1u, 2u}) cluster.start(worker, broken);
  std::map<PeerId, AlignedFloats> gradients;
  EXPECT_FALSE(cluster.run({1, 2}, gradients, 0));
  for (const PeerId worker : {1u, 2u}) cluster.exchange_of(worker).abandon();
  const ExchangeWork again{.owners = {1, 2, 2}, .participants = {1, 2}, .attempt = 2};
  for (const PeerId worker : {1u, 2u}) cluster.start(worker, again);
  ASSERT_TRUE(cluster.run({1, 2}, gradients, 0));
  EXPECT_TRUE(same_bits(gradients.at(2), expected_sum(3)));
}

// A peer that asks without end and takes nothing: what is kept for it is bounded.
TEST(LinkExchangeTest, AFloodOfRequestsIsNotAnsweredWithoutBound) {
  Network network;
  FakeClock clock;
  FakeLinks links(1, network);
  LinkExchange exchange(links, 1, 0, clock);
  Lane lane(1);
  SlotSum sum(2);
  sum.add(lane, {0, 0}, AlignedFloats(64));
  ASSERT_TRUE(exchange.start({.owners = {1, 2}, .participants = {1, 2}, .attempt = 1}, std::move(sum), 64).ok());
  wire::GradientRequest request;
  request.set_attempt(1);
  request.set_count(32);
  constexpr std::size_t kRequests = 20000;
  for (std::size_t i = 0; i < kRequests; ++i) exchange.on_request(2, request);
  std::size_t num_answers = 0;
  for (std::size_t i = 0; i < kRequests; ++i) {
    exchange.serve();
    for (const Message& message : network) num_answers += message.content.has_gradient() ? 1 : 0;
    if (network.empty()) break;
    network.clear();
  }
  EXPECT_TRUE(network.empty());
  EXPECT_EQ(num_answers, LinkExchange::kAnswersQueued + LinkExchange::kRequestsKept);
}

TEST(LinkExchangeTest, WhatDoesNotFitIsDropped) {
  Cluster cluster({1, 2}, 1);
  const ExchangeWork work{.owners = {1, 2}, .participants = {1, 2}, .attempt = 1};
  cluster.start(1, work);
  wire::GradientPart part;
  part.set_attempt(1);
  part.set_slot(1);
  part.set_offset(LinkExchange::kChunkFloats / 2);  // not where a chunk begins
  part.set_floats(std::string(64, 'x'));
  cluster.exchange_of(1).on_part(2, part);
  part.set_offset(std::uint64_t{1} << 62);
  cluster.exchange_of(1).on_part(2, part);
  part.set_offset(0);  // too short
  cluster.exchange_of(1).on_part(2, part);
  wire::GradientRequest request;
  request.set_attempt(1);
  request.set_offset(kFloats - 3);
  request.set_count(4);
  cluster.exchange_of(1).on_request(2, request);
  request.set_offset(~std::uint64_t{0});
  cluster.exchange_of(1).on_request(2, request);
  request.set_slot(77);
  cluster.exchange_of(1).on_request(2, request);
  cluster.start(2, work);
  std::map<PeerId, AlignedFloats> gradients;
  ASSERT_TRUE(cluster.run({1, 2}, gradients, 0));
  EXPECT_TRUE(same_bits(gradients.at(1), expected_sum(2)));
}

}  // namespace
}  // namespace jigsaw
