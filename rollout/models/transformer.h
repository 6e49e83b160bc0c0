// The transformer as rollout runs it: rows of any sequences, prefill chunks and decode rows alike, over paged keys and
// values. The layers are those of the trainer (decoder_layer.h), so a decoded token and a trained token go through the
// same arithmetic, and a row's logits do not depend on the other rows of its batch, nor on how a prompt was cut.
// No state but scratch memory: not for two threads at once.
//
// Shapes: R rows (tokens of any sequences, packed without padding), H hidden, V vocabulary.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/lane.h"
#include "rollout/models/policy_weights.h"

namespace jigsaw {

// Consecutive tokens of one sequence within a forward pass.
struct SequenceRows {
  int num_rows = 0;
  int position_begin = 0;
  // Base of each KV block of the sequence, position 0 on; a block holds all layers:
  // layer l at base + l * kernels::kv_block_floats(num_kv_heads, head_dim). Blocks of the new rows must be there.
  std::span<float* const> blocks;
  // A fork of an earlier entry of the pass, when not -1: it goes on after that one's position_begin' .. position_begin
  // - 1, which this pass computes there (or where that one forked), and whose keys and values are written to its blocks
  // too.
  int parent = -1;
};

struct ForwardBatch {
  std::span<const std::int32_t> tokens;      // R, sequence after sequence; all within the vocabulary
  std::span<const SequenceRows> sequences;   // num_rows add up to R
  std::span<const std::int32_t> logit_rows;  // rows whose logits are wanted, ascending
};

class Transformer {
 public:
  // `weights` outlives this, or its use of them. `max_positions` bounds positions (the rope table is made for as many).
  Transformer(const PolicyWeights& weights, int max_positions);
  ~Transformer();

  const ModelConfig& config() const { return weights_->config(); }
  // Reads other weights of the same model from now on.
  void use_weights(const PolicyWeights& weights);
  int max_positions() const { return max_positions_; }
  // Floats of one KV block (16 positions, all layers).
  std::size_t kv_block_floats() const;

  // Runs the rows, writes their keys and values into their blocks, and returns the logits of `logit_rows`,
  // [logit_rows.size()][V], valid until the next call. Scratch memory grows with the largest batch seen and stays.
  std::span<const float> forward(Lane& lane, const ForwardBatch& batch);

 private:
  struct Scratch;
  void check(const ForwardBatch& batch) const;

  const PolicyWeights* weights_;  // not null
  int max_positions_;
  std::vector<float> cos_sin_;
  std::unique_ptr<Scratch> scratch_;
};

}  // namespace jigsaw
