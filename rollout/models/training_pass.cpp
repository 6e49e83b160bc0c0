#include "rollout/models/training_pass.h"

#include <algorithm>
#include <utility>

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
  State(const PolicyWeights& policy, int positions, bool recompute, std::int64_t products_of_step)
      : weights(policy),
        config(policy.config()),
        max_positions(positions),
        recompute_activations(recompute),
        step_products(products_of_step),
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
  void run_layer(Lane& lane, const TrainingPack& rows_of, PassMemory& memory, int layer);
  void run_layer_backward(Lane& lane, int layer);

  // Units of work: the layers and the chunks of the vocabulary. Returns true when all `num_units` are done.
  template <typename ProductsOf, typename Run>
  bool run_step(int num_units, const ProductsOf& products_of, const Run& run) {
    if (std::exchange(plan_is_of_others, false)) plan_for(pack);
    std::int64_t products = 0;
    for (; next_unit < num_units; ++next_unit) {
      products += products_of(next_unit);
      if (products > step_products && products > products_of(next_unit)) return false;
      run(next_unit);
    }
    return true;
  }
  int num_units() const { return pack.num_logits() == 0 ? 0 : config.num_layers + head.num_chunks(pack); }
  // Of a layer, without attention, and of a chunk of the vocabulary.
  std::int64_t layer_products() const {
    const std::int64_t hidden = config.hidden_size;
    const std::int64_t of_row = hidden * (2 * config.q_size() + 2 * config.kv_size() + 3 * config.intermediate_size);
    return pack.num_rows() * of_row;
  }
  std::int64_t chunk_products() const {
    return std::int64_t{pack.num_logits()} / head.num_chunks(pack) * config.hidden_size * config.vocab_size;
  }
  float* dx() { return backward_scratch.data(); }  // [rows][H]

  const PolicyWeights& weights;
  const ModelConfig& config;
  const int max_positions;
  const bool recompute_activations;
  const std::int64_t step_products;
  const std::vector<float> cos_sin;
  VocabularyHead head;
  AttentionPlan plan;
  bool plan_is_of_others = false;  // than `pack`
  PassMemory kept;                 // of forward(), until its backward()
  PassMemory passing;              // of score()
  ScratchFloats layer_scratch, backward_scratch, kv;
  // Of the last forward().
  enum class Phase { kIdle, kForward, kAwaitsBackward, kBackward };
  Phase phase = Phase::kIdle;
  int next_unit = 0;
  TrainingPack pack;
  std::vector<kernels::LogSoftmaxStats> stats;
  std::vector<float> logprobs, entropies, dlogp;
  std::span<float> gradients;
};

void TrainingPass::State::run_layer(Lane& lane, const TrainingPack& rows_of, PassMemory& memory, int layer) {
  if (layer == 0) {
    kernels::embed(lane, rows_of.tokens, config.hidden_size, weights.matrix(weights.layout().embedding()),
                   memory.input(0));
  }
  layer_forward(lane, context(), layer_weights(weights, layer), 0, memory.input(layer), memory.activations(layer),
                scratch_for(rows_of.num_rows()), memory.input(layer + 1));
}

void TrainingPass::State::run_layer_backward(Lane& lane, int layer) {
  const int rows = pack.num_rows();
  const std::size_t dx_floats = static_cast<std::size_t>(rows) * static_cast<std::size_t>(config.hidden_size);
  const LayerBackwardScratch backward = LayerBackwardScratch::in(dx() + dx_floats, config, rows);
  const LayerScratch scratch = scratch_for(rows);
  const LayerWeights its_weights = layer_weights(weights, layer);
  const LayerActivations activations = kept.activations(layer);
  if (recompute_activations) {
    layer_activations(lane, context(), its_weights, 0, kept.input(layer), activations, scratch);
  }
  layer_backward(lane, context(), its_weights, layer_gradients(weights.layout(), layer, gradients.data()),
                 kept.input(layer), activations, scratch, backward, dx());
  if (layer == 0) {
    kernels::embed_backward(lane, pack.tokens, config.hidden_size, dx(),
                            gradients.data() + weights.layout().parameter(weights.layout().embedding()).offset);
  }
}

TrainingPass::TrainingPass(const PolicyWeights& weights, int max_positions, bool recompute_activations,
                           std::int64_t step_products)
    : state_(std::make_unique<State>(weights, max_positions, recompute_activations, step_products)) {}

TrainingPass::~TrainingPass() = default;

void TrainingPass::release_memory() {
  state_->phase = State::Phase::kIdle;
  state_->kept.release();
  state_->passing.release();
  state_->head.release_memory();
  state_->plan.release_memory();
  for (ScratchFloats* scratch : {&state_->layer_scratch, &state_->backward_scratch, &state_->kv}) scratch->release();
}

void TrainingPass::begin_forward(std::span<const ScoredSequence> sequences) {
  State& s = *state_;
  s.pack = make_training_pack(sequences, s.max_positions, s.config.vocab_size);
  const auto count = static_cast<std::size_t>(s.pack.num_logits());
  s.logprobs.resize(count);
  s.entropies.resize(count);
  s.stats.resize(count);
  s.kept.prepare(s.pack.num_rows());
  s.plan_is_of_others = true;
  s.phase = State::Phase::kForward;
  s.next_unit = 0;
}

bool TrainingPass::forward_step(Lane& lane) {
  State& s = *state_;
  CHECK(s.phase == State::Phase::kForward);
  const int num_layers = s.config.num_layers;
  const bool is_over = s.run_step(
      s.num_units(), [&](int unit) { return unit < num_layers ? s.layer_products() : s.chunk_products(); },
      [&](int unit) {
        if (unit < num_layers) return s.run_layer(lane, s.pack, s.kept, unit);
        s.head.forward_chunk(lane, s.pack, s.num_units() - 1 - unit, s.kept.input(num_layers), s.stats, s.logprobs,
                             s.entropies);
      });
  if (is_over) s.phase = State::Phase::kAwaitsBackward;
  return is_over;
}

std::span<const float> TrainingPass::logprobs() const { return state_->logprobs; }
std::span<const float> TrainingPass::entropies() const { return state_->entropies; }

std::vector<float> TrainingPass::forward(Lane& lane, std::span<const ScoredSequence> sequences,
                                         std::span<float> entropies) {
  begin_forward(sequences);
  while (!forward_step(lane)) continue;
  CHECK(entropies.empty() || entropies.size() == state_->entropies.size());
  if (!entropies.empty()) std::ranges::copy(state_->entropies, entropies.begin());
  return state_->logprobs;
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
    s.passing.prepare(pack.num_rows());
    s.plan_is_of_others = true;
    s.plan_for(pack);
    for (int layer = 0; layer < s.config.num_layers; ++layer) s.run_layer(lane, pack, s.passing, layer);
    s.head.forward(lane, pack, s.passing.input(0), stats, std::span(logprobs).subspan(first),
                   entropies.empty() ? entropies : entropies.subspan(first, count));
    s.head.forget_logits();
  }
  CHECK(entropies.empty() || entropies.size() == logprobs.size());
  return logprobs;
}

void TrainingPass::begin_backward(std::span<const float> dlogp, std::span<float> gradients) {
  State& s = *state_;
  CHECK_MSG(s.phase == State::Phase::kAwaitsBackward, "a backward without its forward");
  CHECK(dlogp.size() == static_cast<std::size_t>(s.pack.num_logits()));
  CHECK(gradients.size() == s.weights.layout().num_floats());
  s.dlogp.assign(dlogp.begin(), dlogp.end());
  s.gradients = gradients;
  s.backward_scratch.require(
      static_cast<std::size_t>(s.pack.num_rows()) *
      (static_cast<std::size_t>(s.config.hidden_size) + LayerBackwardScratch::floats_per_row(s.config)));
  std::fill_n(s.dx(), static_cast<std::ptrdiff_t>(s.pack.num_rows()) * s.config.hidden_size, 0.0f);
  s.phase = State::Phase::kBackward;
  s.next_unit = 0;
}

bool TrainingPass::backward_step(Lane& lane) {
  State& s = *state_;
  CHECK(s.phase == State::Phase::kBackward);
  const int num_chunks = s.head.num_chunks(s.pack), num_layers = s.config.num_layers;
  // A backward has two products where the forward has one.
  const bool is_over = s.run_step(
      s.num_units(), [&](int unit) { return 2 * (unit < num_chunks ? s.chunk_products() : s.layer_products()); },
      [&](int unit) {
        if (unit >= num_chunks) return s.run_layer_backward(lane, num_layers - 1 - (unit - num_chunks));
        s.head.backward_chunk(lane, s.pack, unit, s.kept.input(num_layers), s.stats, s.dlogp, s.gradients, s.dx());
      });
  if (is_over) s.phase = State::Phase::kIdle;
  return is_over;
}

void TrainingPass::backward(Lane& lane, std::span<const float> dlogp, std::span<float> gradients) {
  begin_backward(dlogp, gradients);
  while (!backward_step(lane)) continue;
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
