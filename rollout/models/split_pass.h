// Forward and backward of one long sequence that several workers share: context parallelism with exact attention. Its
// rows are cut into an even number n of chunks; pair p is chunks p and n - 1 - p, so that by causal attention all pairs
// have about equal work. A worker has some of the pairs, in lockstep by layers: a pair's layer attends over the keys
// and values of all chunks before it, and its backward waits for what all later ones have for its keys and values.
//
//   forward    step 0: embed, q k v of layer 0        step f: rest of layer f - 1, q k v of layer f (f = L: log-probs)
//   backward   step 0: vocabulary, layer L - 1 down to its attention
//              step b: layer L - b from its attention on, layer L - b - 1 down to it (b = L: embedding)
//
// Whoever has a pair computes the same bits: its log-probs are those of TrainingPass (and of rollout), its gradient is
// one of its own, and keys' and values' gradients are summed over pairs in order. So the sum over pairs, in any fixed
// order, does not depend on how they are dealt. It is not to the bit the gradient that TrainingPass has for the whole.
//
// Nothing here talks to anybody: Items say what is made and what is wanted. One thread at a time; place() of something
// wanted may be written while a step runs.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/lane.h"
#include "rollout/models/policy_weights.h"
#include "rollout/models/training_pass.h"

namespace jigsaw {

// Floats that one pair makes and others read.
struct SplitItem {
  enum class Kind : std::uint8_t {
    kKeysValues,           // of `layer`: [rows of `chunk`][k; v]
    kScores,               // of `chunk`: [tokens drawn][log-prob, entropy]
    kKeysValuesGradients,  // of `layer`: what pair `pair` has for the rows of `chunk`, [rows][dk; dv]
  };
  Kind kind = Kind::kKeysValues;
  int layer = 0;  // 0 for scores
  int chunk = 0;
  int pair = 0;  // that makes it
  auto operator<=>(const SplitItem&) const = default;
};

class SplitPass {
 public:
  // `weights` and the sequence outlive this. chunk_begins: of each chunk's first row, and the number of rows (tokens
  // - 1); no chunk is empty. own_pairs: those computed here, ascending, at least one.
  SplitPass(const PolicyWeights& weights, const ScoredSequence& sequence, std::vector<int> chunk_begins,
            std::vector<int> own_pairs, bool recompute_activations);
  ~SplitPass();

  int num_pairs() const;

  // Whether a step has all it reads. run_step() takes the earliest of those, of the own pairs.
  bool is_runnable() const;
  void run_step(Lane& lane);
  // The forward is over and all scores are here: one log-prob and entropy for each token drawn, in order.
  bool awaits_backward() const;
  std::vector<float> logprobs() const;
  std::vector<float> entropies() const;
  // dlogp: one value a log-prob. gradients: of each own pair, flat buffers that outlive the backward and are added to.
  void begin_backward(std::span<const float> dlogp, std::vector<std::span<float>> gradients);
  // All own pairs' gradients are there. What they have made last may still be wanted by others.
  bool is_done() const;

  // What the next two steps of own pairs read of others and have not got, in order of need, and where it is to go.
  std::vector<SplitItem> wanted() const;
  std::span<float> place(const SplitItem& item);
  void on_arrived(const SplitItem& item);
  // What own pairs have made since the last call; empty when there are no other pairs. made(): where it is, until the
  // step after next of the backward for kKeysValuesGradients, until release() for the rest.
  std::vector<SplitItem> take_made();
  std::span<const float> made(const SplitItem& item) const;
  // Gradients of keys and values that steps which have all they read write over: everybody has them by then.
  std::vector<SplitItem> outdated() const;
  // After is_done(): frees all but what others may still want, the gradients of keys and values of the last two steps.
  void release();

  // Of a worker that has all pairs, without their gradients; for the memory ledger. It is the most that any has.
  static std::size_t memory_bytes(const ModelConfig& config, int num_tokens, int num_pairs, bool recompute_activations);
  // Of that, what there still is after release().
  static std::size_t kept_bytes(const ModelConfig& config, int num_tokens, int num_pairs);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace jigsaw
