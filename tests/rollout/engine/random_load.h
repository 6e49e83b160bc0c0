// A random load on a tiny KV pool: requests that arrive while others run, in groups or not, are cancelled, come back
// with what they had, preempt each other; over any model. Each must come out as naive generation makes it, and the
// books of the blocks must be right after every step.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "tests/rollout/engine/engine_testing.h"
#include "tests/support/fake_tokenizer.h"
#include "tests/support/timed_forward_pass.h"

namespace jigsaw::testing {

// A model under load, and the same for naive generation.
struct LoadModel {
  int vocab_size = 0;
  TokenId eos_token = 0;
  std::function<std::unique_ptr<ForwardPass>(int max_positions)> make_pass;
  std::function<NextLogits(int max_positions)> make_naive;
};

inline const FakeTokenizer& load_tokenizer_fake() {
  static const FakeTokenizer instance({"a", "b", "c", "d", "ab", "bc", "cd", "da", "", "e", "f", "g", "<eos>"});
  return instance;
}

class Load {
 public:
  Load(const LoadModel& model, std::uint64_t seed)
      : model_(model), random_(seed), lane_(1 + static_cast<int>(seed % 3)) {
    options_.max_batch = 1 + below(8);
    options_.max_step_tokens = 1 + below(below(2) == 0 ? 8 : 60);
    options_.max_positions = 20 + below(120);
    const int num_blocks = num_blocks_for(options_.max_positions) + below(6);
    options_.speculation = below(4) != 0;
    // As fast with drafts as without, or nearly so: some is drafted as often as can be.
    const int microseconds_per_row = below(3) * 5;
    auto pass = std::make_unique<TimedForwardPass>(
        model.make_pass(options_.max_positions), clock_, [microseconds_per_row](std::size_t rows) {
          return std::chrono::microseconds(1000 + microseconds_per_row * static_cast<int>(rows));
        });
    options_.kv_bytes_max = static_cast<std::size_t>(num_blocks) * pass->kv_block_floats() * sizeof(float);
    engine_ =
        std::move(make_rollout_engine(std::move(pass), {model.eos_token}, &load_tokenizer_fake(), options_, clock_))
            .value();
    for (int i = 0; i < 4; ++i) prompts_.push_back(tokens_of_prompt(1 + below(options_.max_positions - 1)));
  }

  void run() {
    const int num_requests = 5 + below(40);
    for (int i = 0; i < num_requests; ++i) to_come_.push_back(random_request(static_cast<std::uint64_t>(i)));
    int num_steps = 0;
    while (!to_come_.empty() || !engine_->idle()) {
      for (int i = below(4); i > 0 && !to_come_.empty(); --i) submit_next();
      if (below(12) == 0) cancel_one();
      give_some();
      EngineStep step = engine_->step(lane_);
      ASSERT_TRUE(engine_->has_work() || engine_->num_paused() > 0 || engine_->idle());
      for (const std::uint64_t id : step.paused) {
        ASSERT_TRUE(asking_.insert(id).second) << "paused twice";
        ++num_paused_;
      }
      ASSERT_LE(step.decode_tokens + step.prefill_tokens + step.draft_tokens, options_.max_step_tokens);
      totals_.add(std::move(step));
      engine_->check_integrity();
      if (engine_->idle() && below(2) == 0) engine_->on_weights_changed();
      ASSERT_LT(++num_steps, 20000) << "stuck";
    }
    for (const auto& [id, request] : submitted_) {
      ASSERT_TRUE(totals_.outputs.contains(id)) << id;
      expect_same(totals_.outputs[id], generate_naively(naive_model(), request));
      if (::testing::Test::HasFailure()) return;
    }
    EXPECT_EQ(submitted_.size(), static_cast<std::size_t>(num_requests));
    engine_->on_weights_changed();
    EXPECT_EQ(engine_->kv_bytes_used(), 0u);
  }

  // For the tests to see that their loads do press.
  int preempted() const { return totals_.preempted; }
  int num_drafted() const { return totals_.draft_tokens; }
  int num_accepted() const { return totals_.accepted_tokens; }
  int num_cancelled() const { return num_cancelled_; }
  int num_paused() const { return num_paused_; }
  int num_adopted() const { return num_adopted_; }  // came back with their keys and values, and went on from them

 private:
  int below(int bound) { return static_cast<int>(random_() % static_cast<std::uint64_t>(bound)); }

  NaiveModel naive_model() const {
    return {.next_logits = model_.make_naive(options_.max_positions),
            .eos_tokens = {model_.eos_token},
            .tokenizer = &load_tokenizer_fake(),
            .max_positions = options_.max_positions,
            .answer = [this](std::span<const TokenId> completion) { return answer_to(completion); }};
  }

  // Up to nine tokens, or none.
  std::vector<TokenId> answer_to(std::span<const TokenId> completion) const {
    std::mt19937_64 random(completion.size() * 31 + static_cast<std::uint64_t>(completion.back()));
    std::vector<TokenId> tokens(random() % 10);
    for (TokenId& token : tokens)
      token = static_cast<TokenId>(random() % static_cast<std::uint64_t>(model_.vocab_size));
    return tokens;
  }

  // Answers to those that wait, in any order; always when nothing else goes on.
  void give_some() {
    while (!asking_.empty() && (!engine_->has_work() || below(3) == 0)) {
      const auto asked = std::next(asking_.begin(), below(static_cast<int>(asking_.size())));
      const auto progress = engine_->progress(*asked);
      ASSERT_TRUE(progress.has_value());
      const Status status = engine_->give(*asked, answer_to(progress->tokens));
      ASSERT_TRUE(status.ok()) << status.error().message();
      EXPECT_FALSE(engine_->give(*asked, {}).ok()) << "given twice";
      asking_.erase(asked);
      engine_->check_integrity();
    }
  }

  std::vector<TokenId> tokens_of_prompt(int count) {
    std::vector<TokenId> tokens;
    for (int i = 0; i < count; ++i) tokens.push_back(below(model_.vocab_size));
    return tokens;
  }

  RolloutRequest random_request(std::uint64_t id) {
    const int kind = below(6);
    const std::uint64_t group = static_cast<std::uint64_t>(below(4));
    // Mostly the group's own prompt; sometimes one that has no business there.
    RolloutRequest request = request_of(id, prompts_[kind == 0 ? static_cast<std::size_t>(below(4)) : group], 0, group);
    request.sampling.max_new_tokens = 1 + below(options_.max_positions);
    request.sampling.ignore_eos = below(3) != 0;
    request.sampling.temperature = below(4) == 0 ? 0.0f : 0.5f + 0.1f * static_cast<float>(below(10));
    if (below(3) == 0) request.sampling.top_k = 1 + below(model_.vocab_size);
    if (below(3) == 0) request.sampling.top_p = 0.05f + 0.1f * static_cast<float>(below(9));
    if (below(6) == 0) request.sampling.stop_tokens = {below(model_.vocab_size)};
    if (below(6) == 0) request.sampling.stop_strings = {"abcd", "dad", "ee"};
    if (below(2) == 0) request.sampling.pause_string = below(2) == 0 ? "b" : "da";
    request.sampling.pauses_max = below(4);
    return request;
  }

  void submit_next() {
    RolloutRequest request = std::move(to_come_.front());
    to_come_.pop_front();
    if (const auto kv = kept_kv_.find(request.id); kv != kept_kv_.end()) {
      submit_with_kv(request, kv->second);
      kept_kv_.erase(kv);
    } else {
      submit(*engine_, request);
    }
    engine_->check_integrity();
    // What the sequence began with elsewhere is no part of what it should come to.
    request.partial_tokens.clear();
    request.partial_logprobs.clear();
    request.partial_given.clear();
    submitted_[request.id] = std::move(request);
  }

  struct KeptKv {
    int num_positions = 0;
    std::size_t block_floats = 0;
    std::vector<float> floats;
  };

  void keep_kv(std::uint64_t id) {
    const auto kv = engine_->sequence_kv(id);
    if (!kv) return;
    KeptKv& kept = kept_kv_[id] = {kv->num_positions, kv->block_floats, {}};
    for (const float* block : kv->blocks) kept.floats.insert(kept.floats.end(), block, block + kv->block_floats);
  }

  void submit_with_kv(const RolloutRequest& request, const KeptKv& kept) {
    const auto read_block = [&](int index, std::span<float> block) {
      const auto begin =
          kept.floats.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(index) * block.size());
      std::copy(begin, begin + static_cast<std::ptrdiff_t>(block.size()), block.begin());
    };
    const auto adopted = engine_->submit_with_kv(
        request, {.num_positions = kept.num_positions, .block_floats = kept.block_floats, .read_block = read_block});
    ASSERT_TRUE(adopted.ok()) << adopted.error().message();
    num_adopted_ += *adopted ? 1 : 0;
  }

  // The cancelled sequence comes back later with what it had, its keys and values or not.
  void cancel_one() {
    if (submitted_.empty()) return;
    auto candidate = std::next(submitted_.begin(), below(static_cast<int>(submitted_.size())));
    if (below(4) != 0) keep_kv(candidate->first);
    std::optional<RolloutOutput> output = engine_->cancel(candidate->first);
    if (!output) return;
    engine_->check_integrity();
    ++num_cancelled_;
    asking_.erase(candidate->first);
    RolloutRequest resumed = candidate->second;
    resumed.partial_tokens = std::move(output->tokens);
    resumed.partial_logprobs = std::move(output->logprobs);
    resumed.partial_given = std::move(output->given);
    to_come_.insert(to_come_.begin() + below(static_cast<int>(to_come_.size()) + 1), std::move(resumed));
    submitted_.erase(candidate);
  }

  const LoadModel& model_;
  std::mt19937_64 random_;
  Lane lane_;
  FakeClock clock_;
  EngineOptions options_;
  std::unique_ptr<RolloutEngine> engine_;
  std::vector<std::vector<TokenId>> prompts_;
  std::deque<RolloutRequest> to_come_;
  std::map<std::uint64_t, RolloutRequest> submitted_;
  RunTotals totals_;
  std::map<std::uint64_t, KeptKv> kept_kv_;
  std::set<std::uint64_t> asking_;  // paused, and no answer given yet
  int num_cancelled_ = 0, num_adopted_ = 0, num_paused_ = 0;
};

}  // namespace jigsaw::testing
