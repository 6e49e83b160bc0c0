#include "rollout/models/training_pass.h"

#include <algorithm>

#include "core/check.h"
#include "rollout/kernels/kernels.h"
#include "rollout/models/attention_plan.h"
#include "rollout/models/decoder_layer.h"
#include "rollout/models/pass_memory.h"
#include "rollout/models/rope_table.h"
#include "rollout/models/scratch_floats.h"
#include "rollout/models/training_pack.h"
#include "rollout/models/vocabulary_head.h"

namespace jigsaw {
namespace {

// Tokens that score() runs at a time, unless a single sequence has more.
constexpr std::size_t kScoreTokens = 2048;

std::size_t block_floats(const ModelConfig& config) {
  return kernels::kv_block_floats(config.num_kv_heads, config.head_dim);
}

}  // namespace

struct TrainingPass::State {
  State(const PolicyWeights& policy, int positions, bool recompute)
      : weights(policy),
        config(policy.config()),
        max_positions(positions),
        recompute_activations(recompute),
        cos_sin(make_rope_table(config.rope, config.head_dim, positions)),
        head(policy),
        kept(config, true, !recompute),
        passing(config, false, false) {}

  LayerContext context() { return {config, cos_sin.data(), plan}; }
  LayerScratch scratch_for(int rows) {
    return LayerScratch::in(
        layer_scratch.require(static_cast<std::size_t>(rows) * LayerScratch::floats_per_row(config)), config, rows);
  }
  // Keys and values of one layer at a time: the next layer writes over them.
  void plan_for(const TrainingPack& rows_of) {
    plan_attention(rows_of, kv.require(rows_of.num_kv_blocks() * block_floats(config)), block_floats(config), plan);
  }
  void run_layers(Lane& lane, const TrainingPack& rows_of, PassMemory& memory);

  const PolicyWeights& weights;
  const ModelConfig& config;
  const int max_positions;
  const bool recompute_activations;
  const std::vector<float> cos_sin;
  VocabularyHead head;
  AttentionPlan plan;
  PassMemory kept;     // of forward(), until its backward()
  PassMemory passing;  // of score()
  ScratchFloats layer_scratch, backward_scratch, kv;
  // Of the last forward().
  TrainingPack pack;
  std::vector<kernels::LogSoftmaxStats> stats;
  bool awaits_backward = false;
};

void TrainingPass::State::run_layers(Lane& lane, const TrainingPack& rows_of, PassMemory& memory) {
  memory.prepare(rows_of.num_rows());
  plan_for(rows_of);
  const LayerScratch scratch = scratch_for(rows_of.num_rows());
  kernels::embed(lane, rows_of.tokens, config.hidden_size, weights.matrix(weights.layout().embedding()),
                 memory.input(0));
  for (int layer = 0; layer < config.num_layers; ++layer) {
    layer_forward(lane, context(), layer_weights(weights, layer), 0, memory.input(layer), memory.activations(layer),
                  scratch, memory.input(layer + 1));
  }
}

TrainingPass::TrainingPass(const PolicyWeights& weights, int max_positions, bool recompute_activations)
    : state_(std::make_unique<State>(weights, max_positions, recompute_activations)) {}

TrainingPass::~TrainingPass() = default;

void TrainingPass::release_memory() {
  CHECK_MSG(!state_->awaits_backward, "memory is released between forward and backward");
  state_->kept.release();
  state_->passing.release();
  state_->head.release_memory();
  state_->plan.release_memory();
  for (ScratchFloats* scratch : {&state_->layer_scratch, &state_->backward_scratch, &state_->kv}) scratch->release();
}

std::vector<float> TrainingPass::forward(Lane& lane, std::span<const ScoredSequence> sequences,
                                         std::span<float> entropies) {
  State& s = *state_;
  s.pack = make_training_pack(sequences, s.max_positions, s.config.vocab_size);
  const auto count = static_cast<std::size_t>(s.pack.num_logits());
  CHECK(entropies.empty() || entropies.size() == count);
  std::vector<float> logprobs(count);
  s.stats.resize(count);
  s.awaits_backward = true;
  if (count == 0) return logprobs;
  s.run_layers(lane, s.pack, s.kept);
  s.head.forward(lane, s.pack, s.kept.input(s.config.num_layers), s.stats, logprobs, entropies);
  return logprobs;
}

std::vector<float> TrainingPass::score(Lane& lane, std::span<const ScoredSequence> sequences,
                                       std::span<float> entropies) {
  State& s = *state_;
  s.head.forget_logits();
  std::vector<float> logprobs;
  std::vector<kernels::LogSoftmaxStats> stats;
  for (std::size_t begin = 0; begin < sequences.size();) {
    std::size_t end = begin, tokens = 0;
    do {
      tokens += sequences[end++].tokens.size();
    } while (end < sequences.size() && tokens + sequences[end].tokens.size() <= kScoreTokens);
    const TrainingPack pack =
        make_training_pack(sequences.subspan(begin, end - begin), s.max_positions, s.config.vocab_size);
    begin = end;
    const auto count = static_cast<std::size_t>(pack.num_logits());
    if (count == 0) continue;
    const std::size_t first = logprobs.size();
    logprobs.resize(first + count);
    stats.resize(count);
    CHECK(entropies.empty() || entropies.size() >= first + count);
    s.run_layers(lane, pack, s.passing);
    s.head.forward(lane, pack, s.passing.input(0), stats, std::span(logprobs).subspan(first),
                   entropies.empty() ? entropies : entropies.subspan(first, count));
    s.head.forget_logits();
  }
  CHECK(entropies.empty() || entropies.size() == logprobs.size());
  return logprobs;
}

void TrainingPass::backward(Lane& lane, std::span<const float> dlogp, std::span<float> gradients) {
  State& s = *state_;
  CHECK_MSG(s.awaits_backward, "backward() without forward()");
  CHECK(dlogp.size() == static_cast<std::size_t>(s.pack.num_logits()));
  CHECK(gradients.size() == s.weights.layout().num_floats());
  s.awaits_backward = false;
  if (dlogp.empty()) return;

  const int rows = s.pack.num_rows();
  const std::size_t dx_floats = static_cast<std::size_t>(rows) * static_cast<std::size_t>(s.config.hidden_size);
  float* dx = s.backward_scratch.require(dx_floats + static_cast<std::size_t>(rows) *
                                                         LayerBackwardScratch::floats_per_row(s.config));
  const LayerBackwardScratch backward = LayerBackwardScratch::in(dx + dx_floats, s.config, rows);
  const LayerScratch scratch = s.scratch_for(rows);
  s.plan_for(s.pack);

  s.head.backward(lane, s.pack, s.kept.input(s.config.num_layers), s.stats, dlogp, gradients, dx);
  for (int layer = s.config.num_layers - 1; layer >= 0; --layer) {
    const LayerWeights weights = layer_weights(s.weights, layer);
    const LayerActivations activations = s.kept.activations(layer);
    if (s.recompute_activations) {
      layer_activations(lane, s.context(), weights, 0, s.kept.input(layer), activations, scratch);
    }
    layer_backward(lane, s.context(), weights, layer_gradients(s.weights.layout(), layer, gradients.data()),
                   s.kept.input(layer), activations, scratch, backward, dx);
  }
  kernels::embed_backward(lane, s.pack.tokens, s.config.hidden_size, dx,
                          gradients.data() + s.weights.layout().parameter(s.weights.layout().embedding()).offset);
}

std::size_t TrainingPass::activation_bytes(const ModelConfig& config, int num_tokens, bool recompute_activations) {
  const auto rows = static_cast<std::size_t>(num_tokens);
  // A sequence's last block is half empty on average, and more so for short ones: a block per 8 tokens and one.
  const std::size_t kv_blocks = rows / (kernels::kPanel / 2) + 1;
  const std::size_t floats =
      PassMemory::input_floats(config, num_tokens, true) +
      PassMemory::activation_floats(config, num_tokens, !recompute_activations) +
      rows * (LayerScratch::floats_per_row(config) + LayerBackwardScratch::floats_per_row(config) +
              static_cast<std::size_t>(config.hidden_size)) +
      kv_blocks * block_floats(config) + VocabularyHead::scratch_floats(config, num_tokens);
  return floats * sizeof(float);
}

}  // namespace jigsaw
