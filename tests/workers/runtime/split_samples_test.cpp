// Long samples whose chunk pairs are dealt to several workers: what is trained must be what one worker trains.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>

#include "core/wire/peer_frame.h"
#include "scheduler/policies/greedy.h"
#include "tests/workers/runtime/threaded_run.h"

namespace jigsaw {
namespace {

// One sample of a step has most of its tokens.
std::string job_yaml(const std::string& model, const std::string& split_tokens, const std::string& more = "") {
  return R"(seed: 7
pipelines:
- name: a
  model_config: {hidden_size: 32, num_heads: 4, num_kv_heads: 2, intermediate_size: 48, )" +
         model + R"(}
  task: {name: sort, length_min: 2, length_max: 4, alphabet: "1234"}
  reward: {type: char_match}
  rollout: {prompts_per_step: 3, group_size: 2, max_positions: 320, forced_lengths: "3x8,1x300,2x20"}
  train: {steps: 4, lr: 1e-2, grad_slots: 2, micro_batch_tokens: 128, split_tokens: )" +
         split_tokens + "}\n" + more;
}

const char* const kLlama = "family: llama, num_layers: 2";

// Counts what is sent of long samples.
class SplitLinks : public PeerLinks {
 public:
  SplitLinks(std::unique_ptr<PeerLinks> links, std::atomic<int>& num_parts)
      : links_(std::move(links)), num_parts_(num_parts) {}
  std::string endpoint() const override { return links_->endpoint(); }
  std::string public_key() const override { return links_->public_key(); }
  Status set_peers(std::span<const PeerAddress> peers) override { return links_->set_peers(peers); }
  Status try_send_shared(PeerId to, std::shared_ptr<const std::string> bytes) override {
    const auto frame = decode_peer_frame(*bytes);
    if (frame.ok() && frame->message.has_split()) ++num_parts_;
    return links_->try_send_shared(to, std::move(bytes));
  }
  Result<std::optional<ReceivedMessage>> receive(std::chrono::milliseconds wait) override {
    return links_->receive(wait);
  }
  std::size_t num_dropped() const override { return links_->num_dropped(); }

 private:
  std::unique_ptr<PeerLinks> links_;
  std::atomic<int>& num_parts_;
};

struct Split {
  Outcome outcome;
  int num_parts = 0;  // messages with what one worker has made of a sample for another
};

Split run_split(const std::string& yaml, int num_workers, int num_threads = 1) {
  std::atomic<int> num_parts = 0;
  Split split;
  split.outcome = run(yaml, num_workers, std::make_unique<GreedyPolicy>(), num_threads,
                      [&num_parts](PeerId, std::unique_ptr<PeerLinks> links) {
                        return std::make_unique<SplitLinks>(std::move(links), num_parts);
                      });
  split.num_parts = num_parts;
  return split;
}

void expect_same(const Outcome& outcome, const Outcome& reference) {
  EXPECT_EQ(outcome.record.hashes, reference.record.hashes);
  EXPECT_EQ(outcome.record.metrics, reference.record.metrics);
  EXPECT_EQ(outcome.record.samples, reference.record.samples);
}

TEST(SplitSamplesTest, AnyNumberOfWorkersTrainsTheSame) {
  for (const char* model : {kLlama, "family: qwen3, num_layers: 3, tied_embeddings: true",
                            "family: mistral, num_layers: 1, sliding_window: 40"}) {
    SCOPED_TRACE(model);
    const std::string yaml = job_yaml(model, "48");
    const Split reference = run_split(yaml, 1);
    ASSERT_EQ(reference.outcome.record.hashes.size(), 4u);
    EXPECT_EQ(reference.num_parts, 0);
    for (const int num_workers : {2, 3}) {
      const Split shared = run_split(yaml, num_workers);
      expect_same(shared.outcome, reference.outcome);
      EXPECT_GT(shared.num_parts, 4 * 4) << "nothing was shared";
    }
  }
}

TEST(SplitSamplesTest, ItIsNotWhatIsTrainedWithoutChunksButCloseToIt) {
  const Split split = run_split(job_yaml(kLlama, "48"), 1), whole = run_split(job_yaml(kLlama, "0"), 1);
  EXPECT_NE(split.outcome.record.hashes, whole.outcome.record.hashes);
  const auto &metrics = split.outcome.record.metrics[0], &expected = whole.outcome.record.metrics[0];
  for (std::size_t i = 0; i < metrics.size(); ++i) EXPECT_NEAR(metrics[i], expected[i], 1e-5 * std::abs(expected[i]));
  // A sample that is not longer than that is not cut.
  expect_same(run_split(job_yaml(kLlama, "312"), 2).outcome, whole.outcome);
}

TEST(SplitSamplesTest, TwoLanesAndRecomputationTrainTheSame) {
  const std::string reference_model = "  algorithm: {name: gspo, beta: 0.02}\n";
  const Split reference = run_split(job_yaml(kLlama, "32", reference_model), 1);
  std::string recompute = job_yaml(kLlama, "32", reference_model);
  recompute.insert(recompute.find("split_tokens"), "recompute_activations: true, ");
  expect_same(run_split(recompute, 2, 2).outcome, reference.outcome);
}

}  // namespace
}  // namespace jigsaw
