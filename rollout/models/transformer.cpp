#include "rollout/models/transformer.h"

#include <algorithm>
#include <string>

#include "core/check.h"
#include "rollout/kernels/kernels.h"
#include "rollout/models/attention_plan.h"
#include "rollout/models/decoder_layer.h"
#include "rollout/models/rope_table.h"
#include "rollout/models/scratch_floats.h"

namespace jigsaw {
namespace {

// Scratch grows in steps of as many rows, so that a batch one row larger than the last does not allocate.
constexpr int kRowStep = 64;

std::size_t rounded_rows(std::size_t rows) { return (rows + kRowStep - 1) / kRowStep * kRowStep; }

// Copies the wanted rows of x side by side.
void gather_rows(std::span<const std::int32_t> rows, std::size_t width, const float* x, float* out) {
  for (const std::int32_t row : rows) {
    out = std::copy_n(x + static_cast<std::size_t>(row) * width, width, out);
  }
}

}  // namespace

struct Transformer::Scratch {
  AttentionPlan plan;
  ScratchFloats layer;   // x, what layers keep for a moment, and LayerScratch
  ScratchFloats wanted;  // [logit rows][H], before and after the final norm
  ScratchFloats logits;
};

Transformer::Transformer(const PolicyWeights& weights, int max_positions)
    : weights_(&weights),
      max_positions_(max_positions),
      cos_sin_(make_rope_table(weights.config().rope, weights.config().head_dim, max_positions)),
      scratch_(std::make_unique<Scratch>()) {}

Transformer::~Transformer() = default;

void Transformer::use_weights(const PolicyWeights& weights) {
  CHECK(weights.layout().num_floats() == weights_->layout().num_floats());
  weights_ = &weights;
}

std::size_t Transformer::kv_block_floats() const {
  return static_cast<std::size_t>(config().num_layers) *
         kernels::kv_block_floats(config().num_kv_heads, config().head_dim);
}

// What a caller may get wrong, and what would then read or write outside of a buffer.
void Transformer::check(const ForwardBatch& batch) const {
  std::size_t rows = 0;
  for (std::size_t i = 0; i < batch.sequences.size(); ++i) {
    const SequenceRows& sequence = batch.sequences[i];
    CHECK(sequence.num_rows >= 0 && sequence.position_begin >= 0);
    CHECK(sequence.parent < static_cast<int>(i));
    CHECK_MSG(sequence.position_begin + sequence.num_rows <= max_positions_,
              "a sequence goes on past position " + std::to_string(max_positions_));
    rows += static_cast<std::size_t>(sequence.num_rows);
  }
  CHECK(rows == batch.tokens.size());
  for (const std::int32_t token : batch.tokens) CHECK(token >= 0 && token < config().vocab_size);
  for (const std::int32_t row : batch.logit_rows) CHECK(row >= 0 && static_cast<std::size_t>(row) < rows);
}

std::span<const float> Transformer::forward(Lane& lane, const ForwardBatch& batch) {
  check(batch);
  if (batch.tokens.empty()) return {};
  const ModelConfig& config = weights_->config();
  const ParameterLayout& layout = weights_->layout();
  const auto hidden = static_cast<std::size_t>(config.hidden_size), q = static_cast<std::size_t>(config.q_size());
  const std::size_t inner = static_cast<std::size_t>(config.intermediate_size);

  AttentionPlan& plan = scratch_->plan;
  plan.clear();
  for (const SequenceRows& sequence : batch.sequences) {
    plan.add_sequence(sequence.num_rows, sequence.position_begin, sequence.blocks, sequence.parent);
  }

  const std::size_t rows = rounded_rows(batch.tokens.size());
  float* x = scratch_->layer.require(rows * (hidden + q + 2 * inner + LayerScratch::floats_per_row(config)));
  float* attention = x + rows * hidden;
  float* gate_up = attention + rows * q;
  const LayerScratch scratch = LayerScratch::in(gate_up + rows * 2 * inner, config, static_cast<int>(rows));
  // Nothing is kept, so the residual stream stays in one place.
  const LayerActivations passing{.qkv_raw = scratch.qkv, .attention = attention, .x_mid = x, .gate_up = gate_up};
  const LayerContext context{config, cos_sin_.data(), plan};

  kernels::embed(lane, batch.tokens, config.hidden_size, weights_->matrix(layout.embedding()), x);
  for (int layer = 0; layer < config.num_layers; ++layer) {
    const std::size_t offset =
        static_cast<std::size_t>(layer) * kernels::kv_block_floats(config.num_kv_heads, config.head_dim);
    layer_forward(lane, context, layer_weights(*weights_, layer), offset, x, passing, scratch, x);
  }

  if (batch.logit_rows.empty()) return {};
  const std::size_t wanted_rows = rounded_rows(batch.logit_rows.size());
  float* wanted = scratch_->wanted.require(2 * wanted_rows * hidden);
  float* normed = wanted + wanted_rows * hidden;
  const auto vocab = static_cast<std::size_t>(config.vocab_size);
  float* logits = scratch_->logits.require(wanted_rows * vocab);
  const int num_wanted = static_cast<int>(batch.logit_rows.size());
  gather_rows(batch.logit_rows, hidden, x, wanted);
  kernels::rms_norm(lane, num_wanted, config.hidden_size, wanted, config.hidden_size,
                    weights_->parameter(layout.final_norm()), config.rms_norm_eps, normed, config.hidden_size);
  kernels::linear(lane, num_wanted, config.hidden_size, config.vocab_size, normed, config.hidden_size,
                  weights_->matrix(layout.output()), nullptr, logits, config.vocab_size);
  return {logits, batch.logit_rows.size() * vocab};
}

}  // namespace jigsaw
