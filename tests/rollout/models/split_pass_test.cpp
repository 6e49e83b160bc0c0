#include "rollout/models/split_pass.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <random>
#include <utility>

#include "tests/rollout/models/model_testing.h"

namespace jigsaw::testing {
namespace {

constexpr int kTokens = 75, kPromptLength = 9;
const std::vector<TokenRun> kGiven = {{3, 5}, {20, 31}};

struct Trained {
  std::vector<float> logprobs, entropies;
  std::vector<std::vector<float>> gradients;  // by pair

  std::vector<float> gradient_sum() const {
    std::vector<float> sum(gradients[0].size());
    for (const auto& gradient : gradients) {
      for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += gradient[i];
    }
    return sum;
  }
};

class SplitPassTest : public ::testing::TestWithParam<std::string> {
 protected:
  SplitPassTest() : weights_(small_model(GetParam())) {
    tokens_ = random_tokens(kTokens, weights_->config().vocab_size, 3);
    sequence_ = {tokens_, kPromptLength, kGiven};
  }

  std::vector<float> dlogp(std::size_t count) const { return random_floats(count, 5); }

  Trained unsplit() {
    Lane lane(2);
    TrainingPass pass(*weights_, kTokens, false);
    Trained trained;
    trained.entropies.resize(kTokens);
    trained.entropies.resize(pass.score(lane, {&sequence_, 1}, {}).size());
    trained.logprobs = pass.forward(lane, {&sequence_, 1}, trained.entropies);
    trained.gradients.emplace_back(weights_->layout().num_floats());
    pass.backward(lane, dlogp(trained.logprobs.size()), trained.gradients[0]);
    return trained;
  }

  // owners: worker of each pair. Workers take steps and items in an order that is drawn.
  Trained split(const std::vector<int>& chunk_begins, const std::vector<int>& owners, std::uint32_t seed,
                bool recompute = false) {
    const int num_workers = *std::ranges::max_element(owners) + 1;
    struct Worker {
      std::unique_ptr<Lane> lane;
      std::vector<int> pairs;
      std::unique_ptr<SplitPass> pass;
      std::map<SplitItem, std::vector<float>> published;
    };
    std::mt19937 random(seed);
    Trained trained;
    trained.gradients.assign(owners.size(), std::vector<float>(weights_->layout().num_floats()));
    std::vector<Worker> workers(static_cast<std::size_t>(num_workers));
    for (int w = 0; w < num_workers; ++w) {
      Worker& worker = workers[static_cast<std::size_t>(w)];
      worker.lane = std::make_unique<Lane>(1 + w % 2);
      for (int pair = 0; pair < static_cast<int>(owners.size()); ++pair) {
        if (owners[static_cast<std::size_t>(pair)] == w) worker.pairs.push_back(pair);
      }
      worker.pass = std::make_unique<SplitPass>(*weights_, sequence_, chunk_begins, worker.pairs, recompute);
    }
    const auto owner_of = [&](const SplitItem& item) -> Worker& {
      return workers[static_cast<std::size_t>(owners[static_cast<std::size_t>(item.pair)])];
    };
    const auto all_done = [&] {
      return std::ranges::all_of(workers, [](const Worker& worker) { return worker.pass->is_done(); });
    };
    for (int round = 0; round < 100000 && !all_done(); ++round) {
      Worker& worker = workers[random() % workers.size()];
      for (const SplitItem& item : worker.pass->take_made()) {
        const auto made = worker.pass->made(item);
        worker.published[item].assign(made.begin(), made.end());
      }
      for (const SplitItem& item : worker.pass->wanted()) {
        Worker& from = owner_of(item);
        EXPECT_NE(&from, &worker);
        if (!from.published.contains(item) || random() % 3 == 0) continue;
        // What was made is there until nobody wants it any more.
        EXPECT_TRUE(std::ranges::equal(from.pass->made(item), from.published[item]));
        std::ranges::copy(from.published[item], worker.pass->place(item).begin());
        worker.pass->on_arrived(item);
      }
      if (worker.pass->awaits_backward()) {
        std::vector<std::span<float>> gradients;
        for (const int pair : worker.pairs) gradients.emplace_back(trained.gradients[static_cast<std::size_t>(pair)]);
        trained.logprobs = worker.pass->logprobs();
        trained.entropies = worker.pass->entropies();
        worker.pass->begin_backward(dlogp(trained.logprobs.size()), gradients);
      }
      if (worker.pass->is_runnable()) {
        for (const SplitItem& item : worker.pass->outdated()) worker.published.erase(item);
        worker.pass->run_step(*worker.lane);
      }
    }
    EXPECT_TRUE(all_done());
    return trained;
  }

  std::unique_ptr<PolicyWeights> weights_;
  std::vector<std::int32_t> tokens_;
  ScoredSequence sequence_;
};
INSTANTIATE_TEST_SUITE_P(Models, SplitPassTest, ::testing::ValuesIn(small_model_names()),
                         [](const auto& info) { return info.param; });

TEST_P(SplitPassTest, LogprobsAreThoseOfTheWholeAndTheGradientIsClose) {
  const Trained whole = unsplit();
  for (const std::vector<int>& begins :
       {std::vector{0, 37, 74}, std::vector{0, 18, 37, 55, 74}, std::vector{0, 1, 40, 41, 50, 73, 74}}) {
    const Trained parts = split(begins, std::vector<int>(begins.size() / 2, 0), 1);
    EXPECT_EQ(bits(parts.logprobs), bits(whole.logprobs));
    EXPECT_EQ(bits(parts.entropies), bits(whole.entropies));
    const std::vector<float> sum = parts.gradient_sum();
    float largest = 0;
    for (const float value : whole.gradients[0]) largest = std::max(largest, std::abs(value));
    for (std::size_t i = 0; i < sum.size(); ++i) ASSERT_NEAR(sum[i], whole.gradients[0][i], 2e-5 * largest) << i;
  }
}

TEST_P(SplitPassTest, WhoHasWhichPairsAndWhenDoesNotChangeABit) {
  const std::vector<int> begins = {0, 12, 24, 37, 49, 61, 74};
  const Trained alone = split(begins, {0, 0, 0}, 1);
  std::uint32_t seed = 2;
  for (const std::vector<int>& owners :
       {std::vector{0, 1, 1}, std::vector{0, 1, 0}, std::vector{1, 0, 0}, std::vector{2, 0, 1}}) {
    for (const bool recompute : {false, true}) {
      const Trained dealt = split(begins, owners, ++seed, recompute);
      EXPECT_EQ(bits(dealt.logprobs), bits(alone.logprobs));
      for (std::size_t pair = 0; pair < 3; ++pair) {
        EXPECT_EQ(bits(dealt.gradients[pair]), bits(alone.gradients[pair])) << pair;
      }
    }
  }
}

}  // namespace
}  // namespace jigsaw::testing
