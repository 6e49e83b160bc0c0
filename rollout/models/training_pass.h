// Forward and backward over whole sequences, packed without padding: what a trainer does with a micro-batch. The layers
// and kernels are those of rollout, so the log-probs are equal to the decoded ones bit for bit. [tokens x vocab] is
// never stored: the vocabulary is projected a chunk of rows at a time. Used by one thread at a time.
//
// Neighbours with the same prompt, such as a group's completions, share its rows (rollout/models/training_pack.h).
//
// Same sequences in the same order give the same bits, on any lane and with or without recomputation. Each gradient
// matrix but that of a tied embedding is one chain of additions over the rows in order, starting at what the buffer
// holds: cutting a batch into several passes does not change it where that parts no neighbours with the same prompt.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/lane.h"
#include "rollout/models/policy_weights.h"
#include "rollout/models/token_run.h"

namespace jigsaw {

// One completion to score: tokens = prompt + completion; log-probs are of tokens[prompt_length ..], but for those that
// were given and not drawn.
struct ScoredSequence {
  std::span<const std::int32_t> tokens;  // all within the vocabulary
  int prompt_length = 0;                 // >= 1
  std::span<const TokenRun> given{};     // of the completion, ascending
};

class TrainingPass {
 public:
  static constexpr std::int64_t kStepProducts = std::int64_t{1} << 27;  // 2 ms of a core with AVX-512
  // `weights` outlives this and does not change between forward() and backward(). `max_positions` bounds the length of
  // a sequence. With `recompute_activations` only the layers' inputs are kept, and each layer runs twice.
  // `step_products`: see forward_step().
  TrainingPass(const PolicyWeights& weights, int max_positions, bool recompute_activations,
               std::int64_t step_products = kStepProducts);
  ~TrainingPass();

  // Log-probs of all completion tokens that were drawn, sequence after sequence, equal bit for bit to those of the
  // rollout. `entropies` (may be empty) gets as many values. Keeps activations until backward() or the next forward().
  std::vector<float> forward(Lane& lane, std::span<const ScoredSequence> sequences, std::span<float> entropies);
  // dlogp: one value a log-prob of the last forward(). Adds into `gradients` (the layout's flat buffer). Once per
  // forward().
  void backward(Lane& lane, std::span<const float> dlogp, std::span<float> gradients);

  // The same in steps, between which others can have the cores: as many layers, or chunks of the vocabulary, as make
  // step_products multiplications and additions, but at least one. Each call of *_step() is one; true when it was the
  // last. The sequences are not read after begin_forward(); gradients outlive the backward.
  void begin_forward(std::span<const ScoredSequence> sequences);
  bool forward_step(Lane& lane);
  std::span<const float> logprobs() const;   // after the forward, until the next one begins
  std::span<const float> entropies() const;  // likewise
  void begin_backward(std::span<const float> dlogp, std::span<float> gradients);
  bool backward_step(Lane& lane);

  // Log-probs without keeping anything, a few thousand tokens at a time: for reference and old log-probs. May come
  // between any two steps.
  std::vector<float> score(Lane& lane, std::span<const ScoredSequence> sequences, std::span<float> entropies);

  // Frees what forward(), score() and backward() have taken; the next of them takes it again. What is under way is
  // given up.
  void release_memory();

  // Bytes of memory that forward() and backward() of `num_tokens` tokens take, for the memory ledger. The memory stays
  // with the pass until it dies or release_memory() is called.
  static std::size_t activation_bytes(const ModelConfig& config, int num_tokens, bool recompute_activations);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace jigsaw
