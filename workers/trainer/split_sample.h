// A long sample in training, of which this worker has some chunk pairs: forward, loss, backward, as SplitPass does
// them. Whoever has one of its pairs computes the loss of the whole sample, from the scores that all have by then. One
// thread at a time; LibTorch is in the .cpp files.
#pragma once

#include <cstdint>
#include <vector>

#include "core/lane.h"
#include "core/result.h"
#include "rollout/models/policy_weights.h"
#include "rollout/models/split_pass.h"
#include "workers/trainer/algorithm_config.h"
#include "workers/trainer/slot_batch.h"
#include "workers/trainer/training_sample.h"

namespace jigsaw {

struct SplitBatch {
  std::string name;  // for errors
  TrainingSample sample;
  std::vector<double> advantages;                            // one a token
  std::int64_t num_samples_total = 0, num_tokens_total = 0;  // as in SlotBatch
  std::vector<int> chunk_begins;                             // as SplitPass wants them
  std::vector<int> pairs;                                    // this worker's
};

class SplitSample {
 public:
  // `weights` outlives it. The sample fits the model and the loss.
  SplitSample(const PolicyWeights& weights, const AlgorithmConfig& algorithm, SplitBatch batch,
              bool recompute_activations);
  SplitSample(SplitSample&&) = delete;

  // What of others' is wanted and what is made for them.
  SplitPass& pass() { return pass_; }
  const SplitBatch& batch() const { return batch_; }

  bool runnable() const { return pass_.awaits_backward() || pass_.is_runnable(); }
  bool done() const { return pass_.is_done(); }
  // One step of a pair, or the loss. A loss that is not finite is an error.
  Status run_quantum(Lane& lane);

  // Of the whole sample, after the loss.
  const SlotResult& result() const { return result_; }
  // Of this worker's i-th pair; once, when done.
  AlignedFloats take_gradient(std::size_t i) { return std::move(gradients_[i]); }

 private:
  Status compute_loss();

  const PolicyWeights& weights_;
  const AlgorithmConfig algorithm_;
  SplitBatch batch_;
  SplitPass pass_;
  SlotResult result_;
  std::vector<AlignedFloats> gradients_;  // by own pair
};

}  // namespace jigsaw
