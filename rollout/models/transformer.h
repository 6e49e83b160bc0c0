// The transformer itself, forward and backward, written once for rollout and trainer, so that a decoded token and a
// trained token go through the same arithmetic. No state but scratch memory: not for two threads at once.
//
// Shapes: R rows (tokens of any sequences, packed without padding), H hidden, V vocabulary.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/lane.h"
#include "rollout/kernels/kernels.h"
#include "rollout/models/policy_weights.h"

namespace jigsaw {

// Consecutive tokens of one sequence within a forward pass.
struct SequenceRows {
  int num_rows = 0;
  int position_begin = 0;
  // Base of each KV block of the sequence, position 0 on; a block holds all layers:
  // layer l at base + l * kernels::kv_block_floats(num_kv_heads, head_dim). Blocks of the new rows must be there.
  std::span<float* const> blocks;
};

struct ForwardBatch {
  std::span<const std::int32_t> tokens;          // R, sequence after sequence
  std::span<const SequenceRows> sequences;       // num_rows add up to R
  std::span<const std::int32_t> logit_rows;      // rows whose logits are wanted, ascending
};

class Transformer {
 public:
  // `weights` outlives this. `max_positions` bounds positions (the rope table is made for as many).
  Transformer(const PolicyWeights& weights, int max_positions);
  ~Transformer();

  // Floats of one KV block (16 positions, all layers).
  std::size_t kv_block_floats() const;

  // Runs the rows, writes their keys and values into their blocks, and returns the logits of `logit_rows`,
  // [logit_rows.size()][V], valid until the next call.
  std::span<const float> forward(Lane& lane, const ForwardBatch& batch);

 private:
  struct Scratch;
  const PolicyWeights& weights_;
  std::vector<float> cos_sin_;
  std::unique_ptr<Scratch> scratch_;
  int max_positions_;
};

// ---- For the trainer ----------------------------------------------------------------------------------------------
// One completion to score: tokens = prompt + completion; log-probs are of tokens[prompt_length ..].
struct ScoredSequence {
  std::span<const std::int32_t> tokens;
  int prompt_length = 0;                         // >= 1
};

// Forward over whole packed sequences that keeps what the backward needs, and the backward.
// [tokens x vocab] is never stored: the vocabulary is projected a chunk of rows at a time.
class TrainingPass {
 public:
  TrainingPass(const PolicyWeights& weights, int max_positions, bool recompute_activations);
  ~TrainingPass();

  // Log-probs of all completion tokens, sequence after sequence, equal bit for bit to those of the rollout.
  // `entropies` (may be empty) gets as many values. Keeps activations until backward() or the next forward().
  std::vector<float> forward(Lane& lane, std::span<const ScoredSequence> sequences, std::span<float> entropies);
  // Same without keeping anything: for reference and old log-probs.
  std::vector<float> score(Lane& lane, std::span<const ScoredSequence> sequences, std::span<float> entropies);
  // dlogp: one value a log-prob of the last forward(). Adds into `gradients` (the layout's flat buffer).
  void backward(Lane& lane, std::span<const float> dlogp, std::span<float> gradients);

  // Bytes that forward() of `num_tokens` tokens keeps and needs; for the memory ledger.
  static std::size_t activation_bytes(const ModelConfig& config, int num_tokens, bool recompute_activations);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace jigsaw
