#include "rollout/models/split_pass.h"

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <set>
#include <utility>

#include "core/check.h"
#include "rollout/kernels/kernels.h"
#include "rollout/models/attention_plan.h"
#include "rollout/models/decoder_layer.h"
#include "rollout/models/pass_memory.h"
#include "rollout/models/rope_table.h"
#include "rollout/models/training_pack.h"
#include "rollout/models/vocabulary_head.h"

namespace jigsaw {
namespace {

std::size_t kv_width(const ModelConfig& config) { return 2 * static_cast<std::size_t>(config.kv_size()); }
std::size_t qkv_width(const ModelConfig& config) {
  return static_cast<std::size_t>(config.q_size()) + kv_width(config);
}
std::size_t num_blocks(int num_positions) {
  return static_cast<std::size_t>((num_positions + kernels::kPanel - 1) / kernels::kPanel);
}

// Rows of a chunk, and the tokens drawn whose log-probs they give.
struct Range {
  int begin = 0, end = 0;
  int size() const { return end - begin; }
};

}  // namespace

// A pair that is computed here.
struct SplitPass::State {
  struct Pair {
    Pair(const ModelConfig& config, bool recompute) : memory(config, true, !recompute) {}
    int index = 0;
    std::array<int, 2> chunks{};
    int step = 0;  // the next one: forward, then backward
    int end = 0;   // of the rows of its later chunk
    TrainingPack pack;
    AttentionPlan plan;
    PassMemory memory;
    std::vector<kernels::LogSoftmaxStats> stats;
    AlignedFloats dx, d_qkv;                                               // [rows][H], [rows][QKV]
    std::array<AlignedFloats, 2> d_kv;                                     // of even and odd layers: [end][dk; dv]
    std::map<std::pair<int, int>, std::array<AlignedFloats, 2>> received;  // by maker and chunk, likewise
    std::span<float> gradient;
  };

  State(const PolicyWeights& policy, const ScoredSequence& sequence, std::vector<int> begins, bool recompute)
      : weights(policy),
        config(policy.config()),
        recompute_activations(recompute),
        chunk_begins(std::move(begins)),
        whole(make_training_pack({&sequence, 1}, static_cast<int>(sequence.tokens.size()), config.vocab_size)),
        cos_sin(make_rope_table(config.rope, config.head_dim, static_cast<int>(sequence.tokens.size()))),
        head(policy) {}

  int num_chunks() const { return static_cast<int>(chunk_begins.size()) - 1; }
  int num_pairs() const { return num_chunks() / 2; }
  int num_layers() const { return config.num_layers; }
  int num_forward_steps() const { return num_layers() + 1; }
  int pair_of(int chunk) const { return std::min(chunk, num_chunks() - 1 - chunk); }
  Range rows_of(int chunk) const {
    return {chunk_begins[static_cast<std::size_t>(chunk)], chunk_begins[static_cast<std::size_t>(chunk) + 1]};
  }
  Range logits_of(int chunk) const {
    const auto at = [&](int row) {
      return static_cast<int>(std::ranges::lower_bound(whole.logit_rows, row) - whole.logit_rows.begin());
    };
    return {at(rows_of(chunk).begin), at(rows_of(chunk).end)};
  }
  Pair* find(int pair) {
    const auto found = std::ranges::find(pairs, pair, &Pair::index);
    return found == pairs.end() ? nullptr : &*found;
  }
  const Pair* find(int pair) const { return const_cast<State*>(this)->find(pair); }
  bool has_others() const { return static_cast<int>(pairs.size()) < num_pairs(); }

  void add_pair(int index);
  std::vector<SplitItem> inputs_of(const Pair& pair, int step) const;
  std::vector<SplitItem> outputs_of(const Pair& pair, int step) const;
  bool is_here(const SplitItem& item) const;
  const Pair* next() const;
  std::span<float> floats_of(const SplitItem& item);

  LayerContext context(Pair& pair) { return {config, cos_sin.data(), pair.plan}; }
  LayerScratch scratch_for(int rows) {
    return LayerScratch::in(
        layer_scratch.require(static_cast<std::size_t>(rows) * LayerScratch::floats_per_row(config)), config, rows);
  }
  LayerBackwardScratch backward_scratch_for(Pair& pair);
  void write_blocks(Lane& lane, const Pair& pair, int layer);
  void keep_keys_values(const Pair& pair, int layer, const float* qkv);
  void forward(Lane& lane, Pair& pair, int step);
  void backward(Lane& lane, Pair& pair, int step);
  void score(Lane& lane, Pair& pair);
  void attention_backward(Lane& lane, Pair& pair, int layer, const LayerActivations& kept, const LayerScratch& scratch,
                          const LayerBackwardScratch& backward);
  void sum_key_value_gradients(Lane& lane, Pair& pair, int layer);

  const PolicyWeights& weights;
  const ModelConfig& config;
  const bool recompute_activations;
  const std::vector<int> chunk_begins;
  TrainingPack whole;
  std::vector<float> cos_sin;
  VocabularyHead head;
  std::vector<Pair> pairs;        // own ones, ascending
  std::vector<AlignedFloats> kv;  // by layer: [rows][k; v], of all chunks that came
  std::vector<float> scores;      // [tokens drawn][log-prob, entropy]
  std::vector<float> dlogp;
  bool has_begun_backward = false;
  std::set<SplitItem> arrived;
  std::vector<SplitItem> made;
  ScratchFloats layer_scratch, backward_scratch, blocks, d_past, d_sum;
};

SplitPass::SplitPass(const PolicyWeights& weights, const ScoredSequence& sequence, std::vector<int> chunk_begins,
                     std::vector<int> own_pairs, bool recompute_activations)
    : state_(std::make_unique<State>(weights, sequence, std::move(chunk_begins), recompute_activations)) {
  State& s = *state_;
  CHECK(s.num_chunks() >= 2 && s.num_chunks() % 2 == 0 && !own_pairs.empty());
  CHECK(std::ranges::adjacent_find(s.chunk_begins, std::greater_equal()) == s.chunk_begins.end());
  CHECK(s.chunk_begins.front() == 0 && s.chunk_begins.back() == s.whole.num_rows());
  CHECK(own_pairs.front() >= 0 && own_pairs.back() < s.num_pairs());
  CHECK(std::ranges::adjacent_find(own_pairs, std::greater_equal()) == own_pairs.end());
  s.scores.resize(2 * static_cast<std::size_t>(s.whole.num_logits()));
  for (int layer = 0; layer < s.num_layers(); ++layer) {
    s.kv.emplace_back(static_cast<std::size_t>(s.whole.num_rows()) * kv_width(s.config));
  }
  for (const int pair : own_pairs) s.add_pair(pair);
}

SplitPass::~SplitPass() = default;

void SplitPass::State::add_pair(int index) {
  Pair& pair = pairs.emplace_back(config, recompute_activations);
  pair.index = index;
  pair.chunks = {index, num_chunks() - 1 - index};
  pair.end = rows_of(pair.chunks[1]).end;
  for (const int chunk : pair.chunks) {
    const Range rows = rows_of(chunk), logits = logits_of(chunk);
    const int shift = rows.begin - pair.pack.num_rows();
    pair.pack.tokens.insert(pair.pack.tokens.end(), whole.tokens.begin() + rows.begin, whole.tokens.begin() + rows.end);
    for (int i = logits.begin; i < logits.end; ++i) {
      pair.pack.logit_rows.push_back(whole.logit_rows[static_cast<std::size_t>(i)] - shift);
      pair.pack.targets.push_back(whole.targets[static_cast<std::size_t>(i)]);
    }
  }
}

// ---- What reads what ------------------------------------------------------------------------------------------------

std::vector<SplitItem> SplitPass::State::inputs_of(const Pair& pair, int step) const {
  std::vector<SplitItem> items;
  const int backward_step = step - num_forward_steps();
  if (step > 0 && step < num_forward_steps()) {
    for (int chunk = 0; chunk < pair.chunks[1]; ++chunk) {
      items.push_back({SplitItem::Kind::kKeysValues, step - 1, chunk, pair_of(chunk)});
    }
  } else if (backward_step > 0 && backward_step < num_forward_steps()) {
    for (const int chunk : pair.chunks) {
      // Pairs whose later chunk is this one, or after it.
      for (int maker = 0; maker < num_pairs() && num_chunks() - 1 - maker >= chunk; ++maker) {
        items.push_back({SplitItem::Kind::kKeysValuesGradients, num_layers() - backward_step, chunk, maker});
      }
    }
  }
  return items;
}

std::vector<SplitItem> SplitPass::State::outputs_of(const Pair& pair, int step) const {
  std::vector<SplitItem> items;
  const int backward_step = step - num_forward_steps();
  if (step < num_layers()) {
    for (const int chunk : pair.chunks) items.push_back({SplitItem::Kind::kKeysValues, step, chunk, pair.index});
  } else if (step == num_layers()) {
    for (const int chunk : pair.chunks) items.push_back({SplitItem::Kind::kScores, 0, chunk, pair.index});
  } else if (backward_step < num_layers()) {
    for (int chunk = 0; chunk <= pair.chunks[1]; ++chunk) {
      if (pair_of(chunk) == pair.index) continue;
      items.push_back({SplitItem::Kind::kKeysValuesGradients, num_layers() - 1 - backward_step, chunk, pair.index});
    }
  }
  return items;
}

bool SplitPass::State::is_here(const SplitItem& item) const {
  const Pair* maker = find(item.pair);
  if (maker == nullptr) {
    if (item.kind == SplitItem::Kind::kScores && logits_of(item.chunk).size() == 0) return true;
    return arrived.contains(item);
  }
  switch (item.kind) {
    case SplitItem::Kind::kKeysValues: return maker->step > item.layer;
    case SplitItem::Kind::kScores: return maker->step > num_layers();
    case SplitItem::Kind::kKeysValuesGradients:
      return maker->step > num_forward_steps() + num_layers() - 1 - item.layer;
  }
  CHECK_FAILED("no such item");
}

const SplitPass::State::Pair* SplitPass::State::next() const {
  const Pair* earliest = nullptr;
  for (const Pair& pair : pairs) {
    if (pair.step >= (has_begun_backward ? 2 : 1) * num_forward_steps()) continue;
    if (earliest != nullptr && earliest->step <= pair.step) continue;
    if (std::ranges::all_of(inputs_of(pair, pair.step), [&](const SplitItem& item) { return is_here(item); })) {
      earliest = &pair;
    }
  }
  return earliest;
}

std::span<float> SplitPass::State::floats_of(const SplitItem& item) {
  const Range rows = rows_of(item.chunk), logits = logits_of(item.chunk);
  const std::size_t width = kv_width(config), size = static_cast<std::size_t>(rows.size()) * width;
  const auto layer = static_cast<std::size_t>(item.layer), begin = static_cast<std::size_t>(rows.begin) * width;
  switch (item.kind) {
    case SplitItem::Kind::kKeysValues: return kv[layer].span().subspan(begin, size);
    case SplitItem::Kind::kScores:
      return std::span(scores).subspan(2 * static_cast<std::size_t>(logits.begin),
                                       2 * static_cast<std::size_t>(logits.size()));
    case SplitItem::Kind::kKeysValuesGradients: {
      if (Pair* const maker = find(item.pair)) return maker->d_kv[layer % 2].span().subspan(begin, size);
      AlignedFloats& place = find(pair_of(item.chunk))->received[{item.pair, item.chunk}][layer % 2];
      if (place.size() == 0) place = AlignedFloats(size);
      return place.span();
    }
  }
  CHECK_FAILED("no such item");
}

// ---- Forward --------------------------------------------------------------------------------------------------------

// The attention kernel reads keys and values in blocks: those of all rows that this pair sees.
void SplitPass::State::write_blocks(Lane& lane, const Pair& pair, int layer) {
  const std::size_t block_floats = kernels::kv_block_floats(config.num_kv_heads, config.head_dim);
  float* const memory = blocks.require(num_blocks(whole.num_rows()) * block_floats);
  const float* rows = kv[static_cast<std::size_t>(layer)].data();
  std::vector<kernels::KvWrite> writes;
  for (int row = 0; row < pair.end; ++row, rows += kv_width(config)) {
    writes.push_back({memory + static_cast<std::size_t>(row / kernels::kPanel) * block_floats, row % kernels::kPanel,
                      rows, rows + config.kv_size()});
  }
  kernels::write_kv(lane, writes, config.num_kv_heads, config.head_dim);
}

void SplitPass::State::keep_keys_values(const Pair& pair, int layer, const float* qkv) {
  const std::size_t width = kv_width(config);
  const float* from = qkv + config.q_size();
  for (const int chunk : pair.chunks) {
    for (int row = rows_of(chunk).begin; row < rows_of(chunk).end; ++row, from += qkv_width(config)) {
      std::copy_n(from, width, kv[static_cast<std::size_t>(layer)].data() + static_cast<std::size_t>(row) * width);
    }
  }
}

void SplitPass::State::forward(Lane& lane, Pair& pair, int step) {
  const int num_rows = pair.pack.num_rows();
  const LayerScratch scratch = scratch_for(num_rows);
  if (step == 0) {
    pair.memory.prepare(num_rows);
    const std::size_t block_floats = kernels::kv_block_floats(config.num_kv_heads, config.head_dim);
    std::vector<float*> places;
    float* const memory = blocks.require(num_blocks(whole.num_rows()) * block_floats);
    for (std::size_t i = 0; i < num_blocks(pair.end); ++i) places.push_back(memory + i * block_floats);
    for (const int chunk : pair.chunks) pair.plan.add_sequence(rows_of(chunk).size(), rows_of(chunk).begin, places);
    kernels::embed(lane, pair.pack.tokens, config.hidden_size, weights.matrix(weights.layout().embedding()),
                   pair.memory.input(0));
  } else {
    const int layer = step - 1;
    const LayerWeights layer_parameters = layer_weights(weights, layer);
    const LayerActivations kept = pair.memory.activations(layer);
    rotate_qkv(lane, context(pair), layer_parameters, kept.qkv_raw, scratch.qkv);
    write_blocks(lane, pair, layer);
    pair.plan.run(lane, config, 0, scratch.qkv, kept.attention);
    layer_after_attention(lane, context(pair), layer_parameters, pair.memory.input(layer), kept, scratch);
    layer_output(lane, context(pair), layer_parameters, kept, scratch, pair.memory.input(step));
  }
  if (step == num_layers()) return score(lane, pair);
  layer_before_attention(lane, context(pair), layer_weights(weights, step), pair.memory.input(step),
                         pair.memory.activations(step), scratch);
  keep_keys_values(pair, step, scratch.qkv);
}

void SplitPass::State::score(Lane& lane, Pair& pair) {
  const auto count = static_cast<std::size_t>(pair.pack.num_logits());
  pair.stats.resize(count);
  std::vector<float> logprobs(count), entropies(count);
  head.forward(lane, pair.pack, pair.memory.input(num_layers()), pair.stats, logprobs, entropies);
  head.forget_logits();  // another pair's come next
  std::size_t next = 0;
  for (const int chunk : pair.chunks) {
    const Range logits = logits_of(chunk);
    for (auto i = static_cast<std::size_t>(logits.begin); i < static_cast<std::size_t>(logits.end); ++i, ++next) {
      scores[2 * i] = logprobs[next];
      scores[2 * i + 1] = entropies[next];
    }
  }
}

// ---- Backward -------------------------------------------------------------------------------------------------------

LayerBackwardScratch SplitPass::State::backward_scratch_for(Pair& pair) {
  const int num_rows = pair.pack.num_rows();
  float* const memory =
      backward_scratch.require(static_cast<std::size_t>(num_rows) * LayerBackwardScratch::floats_per_row(config));
  LayerBackwardScratch backward = LayerBackwardScratch::in(memory, config, num_rows);
  // The gradient of q waits here until that of k and v is summed.
  backward.d_qkv_normed = pair.d_qkv.data();
  if (!config.qk_norm) backward.d_qkv = pair.d_qkv.data();
  return backward;
}

void SplitPass::State::backward(Lane& lane, Pair& pair, int step) {
  const ParameterLayout& layout = weights.layout();
  const LayerScratch scratch = scratch_for(pair.pack.num_rows());
  if (step == 0) {
    const auto num_rows = static_cast<std::size_t>(pair.pack.num_rows());
    pair.dx = AlignedFloats(num_rows * static_cast<std::size_t>(config.hidden_size));
    pair.d_qkv = AlignedFloats(num_rows * qkv_width(config));
    for (AlignedFloats& d_kv : pair.d_kv) d_kv = AlignedFloats(static_cast<std::size_t>(pair.end) * kv_width(config));
    std::vector<float> its_dlogp;
    for (const int chunk : pair.chunks) {
      const Range logits = logits_of(chunk);
      its_dlogp.insert(its_dlogp.end(), dlogp.begin() + logits.begin, dlogp.begin() + logits.end);
    }
    head.backward(lane, pair.pack, pair.memory.input(num_layers()), pair.stats, its_dlogp, pair.gradient,
                  pair.dx.data());
  } else {
    const int layer = num_layers() - step;
    const LayerBackwardScratch backward = backward_scratch_for(pair);
    sum_key_value_gradients(lane, pair, layer);
    layer_backward_from_attention(lane, context(pair), layer_weights(weights, layer),
                                  layer_gradients(layout, layer, pair.gradient.data()), pair.memory.input(layer),
                                  pair.memory.activations(layer), scratch, backward, pair.dx.data());
  }
  if (step == num_layers()) {
    kernels::embed_backward(lane, pair.pack.tokens, config.hidden_size, pair.dx.data(),
                            pair.gradient.data() + layout.parameter(layout.embedding()).offset);
    return;
  }
  const int layer = num_layers() - 1 - step;
  const LayerWeights layer_parameters = layer_weights(weights, layer);
  const LayerActivations kept = pair.memory.activations(layer);
  const LayerBackwardScratch backward = backward_scratch_for(pair);
  if (recompute_activations) {
    write_blocks(lane, pair, layer);
    layer_activations(lane, context(pair), layer_parameters, 0, pair.memory.input(layer), kept, scratch);
  }
  layer_backward_to_attention(lane, context(pair), layer_parameters,
                              layer_gradients(layout, layer, pair.gradient.data()), kept, scratch, backward,
                              pair.dx.data());
  attention_backward(lane, pair, layer, kept, scratch, backward);
}

// The gradients of q, and what this pair has for the keys and values of all rows up to its end: the sum over its two
// chunks.
void SplitPass::State::attention_backward(Lane& lane, Pair& pair, int layer, const LayerActivations& kept,
                                          const LayerScratch& scratch, const LayerBackwardScratch& backward) {
  const std::size_t size = static_cast<std::size_t>(rows_of(pair.chunks[0]).end) * kv_width(config);
  float* const of_first = d_past.require(size);
  float* const of_both = pair.d_kv[static_cast<std::size_t>(layer) % 2].data();
  const std::array<float*, 2> d_kv = {of_first, of_both};
  pair.plan.backward_chunks(
      lane, config,
      {.qkv = scratch.qkv, .out = kept.attention, .d_out = backward.d_attention, .d_qk = pair.d_qkv.data()},
      kv[static_cast<std::size_t>(layer)].data(), d_kv);
  kernels::add(lane, size, of_both, of_first, of_both);
}

// Over the pairs that see a row, in order of pair.
void SplitPass::State::sum_key_value_gradients(Lane& lane, Pair& pair, int layer) {
  const std::size_t kv_size = static_cast<std::size_t>(config.kv_size()), width = kv_width(config);
  float* d_row = pair.d_qkv.data() + config.q_size();
  float* d_v_row = backward_scratch_for(pair).d_qkv + config.q_size();
  for (const int chunk : pair.chunks) {
    const auto rows = static_cast<std::size_t>(rows_of(chunk).size());
    float* const sum = d_sum.require(rows * width);
    for (int maker = 0; maker < num_pairs() && num_chunks() - 1 - maker >= chunk; ++maker) {
      const float* const part = floats_of({SplitItem::Kind::kKeysValuesGradients, layer, chunk, maker}).data();
      if (maker == 0) {
        std::copy_n(part, rows * width, sum);
      } else {
        kernels::add(lane, rows * width, sum, part, sum);
      }
    }
    const float* from = sum;
    for (std::size_t row = 0; row < rows; ++row, from += width) {
      std::copy_n(from, kv_size, d_row);
      std::copy_n(from + kv_size, kv_size, d_v_row + kv_size);
      d_row += qkv_width(config);
      d_v_row += qkv_width(config);
    }
  }
}

// ---- Interface ------------------------------------------------------------------------------------------------------

int SplitPass::num_pairs() const { return state_->num_pairs(); }

bool SplitPass::is_runnable() const { return state_->next() != nullptr; }

void SplitPass::run_step(Lane& lane) {
  State& s = *state_;
  auto* const pair = const_cast<State::Pair*>(s.next());
  CHECK_MSG(pair != nullptr, "no step has its input");
  if (pair->step < s.num_forward_steps()) {
    s.forward(lane, *pair, pair->step);
  } else {
    s.backward(lane, *pair, pair->step - s.num_forward_steps());
  }
  if (s.has_others()) {
    for (const SplitItem& item : s.outputs_of(*pair, pair->step)) s.made.push_back(item);
  }
  ++pair->step;
}

bool SplitPass::awaits_backward() const {
  const State& s = *state_;
  if (s.has_begun_backward) return false;
  for (int chunk = 0; chunk < s.num_chunks(); ++chunk) {
    if (!s.is_here({SplitItem::Kind::kScores, 0, chunk, s.pair_of(chunk)})) return false;
  }
  return true;
}

std::vector<float> SplitPass::logprobs() const {
  std::vector<float> values;
  for (std::size_t i = 0; i < state_->scores.size(); i += 2) values.push_back(state_->scores[i]);
  return values;
}

std::vector<float> SplitPass::entropies() const {
  std::vector<float> values;
  for (std::size_t i = 1; i < state_->scores.size(); i += 2) values.push_back(state_->scores[i]);
  return values;
}

void SplitPass::begin_backward(std::span<const float> dlogp, std::vector<std::span<float>> gradients) {
  State& s = *state_;
  CHECK(awaits_backward() && gradients.size() == s.pairs.size());
  CHECK(dlogp.size() == static_cast<std::size_t>(s.whole.num_logits()));
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    CHECK(gradients[i].size() == s.weights.layout().num_floats());
    s.pairs[i].gradient = gradients[i];
  }
  s.dlogp.assign(dlogp.begin(), dlogp.end());
  s.has_begun_backward = true;
}

bool SplitPass::is_done() const {
  return std::ranges::all_of(state_->pairs,
                             [this](const auto& pair) { return pair.step == 2 * state_->num_forward_steps(); });
}

std::vector<SplitItem> SplitPass::wanted() const {
  const State& s = *state_;
  std::vector<SplitItem> items;
  const auto add = [&](const SplitItem& item) {
    if (s.find(item.pair) == nullptr && !s.arrived.contains(item) && std::ranges::find(items, item) == items.end()) {
      items.push_back(item);
    }
  };
  for (int ahead = 0; ahead < 2; ++ahead) {
    for (const State::Pair& pair : s.pairs) {
      const int step = pair.step + ahead;
      if (step > s.num_forward_steps() && !s.has_begun_backward) continue;
      for (const SplitItem& item : s.inputs_of(pair, step)) add(item);
      if (step < s.num_layers() || s.has_begun_backward) continue;
      for (int chunk = 0; chunk < s.num_chunks(); ++chunk) {
        if (s.logits_of(chunk).size() > 0) add({SplitItem::Kind::kScores, 0, chunk, s.pair_of(chunk)});
      }
    }
  }
  return items;
}

std::span<float> SplitPass::place(const SplitItem& item) {
  CHECK(state_->find(item.pair) == nullptr);
  return state_->floats_of(item);
}

void SplitPass::on_arrived(const SplitItem& item) { state_->arrived.insert(item); }

std::vector<SplitItem> SplitPass::take_made() { return std::exchange(state_->made, {}); }

std::span<const float> SplitPass::made(const SplitItem& item) const {
  CHECK(state_->find(item.pair) != nullptr);
  return state_->floats_of(item);
}

std::vector<SplitItem> SplitPass::outdated() const {
  const State& s = *state_;
  std::vector<SplitItem> items;
  for (const State::Pair& pair : s.pairs) {
    const auto is_here = [&](const SplitItem& item) { return s.is_here(item); };
    const int backward_step = pair.step - s.num_forward_steps();
    if (backward_step < 2 || backward_step >= s.num_layers()) continue;  // it writes over none
    if (!std::ranges::all_of(s.inputs_of(pair, pair.step), is_here)) continue;
    for (const SplitItem& item : s.outputs_of(pair, pair.step - 2)) items.push_back(item);
  }
  return items;
}

void SplitPass::release() {
  CHECK(is_done());
  State& s = *state_;
  s.kv.clear();
  s.head.release_memory();
  for (ScratchFloats* scratch : {&s.layer_scratch, &s.backward_scratch, &s.blocks, &s.d_past, &s.d_sum}) {
    scratch->release();
  }
  for (State::Pair& pair : s.pairs) {
    pair.memory.release();
    pair.dx = AlignedFloats();
    pair.d_qkv = AlignedFloats();
    pair.received.clear();
  }
}

std::size_t SplitPass::memory_bytes(const ModelConfig& config, int num_tokens, int num_pairs,
                                    bool recompute_activations) {
  const int pair_rows = (num_tokens + num_pairs - 1) / num_pairs;
  const auto tokens = static_cast<std::size_t>(num_tokens), rows = static_cast<std::size_t>(pair_rows);
  const auto pairs = static_cast<std::size_t>(num_pairs);
  const std::size_t of_pair = PassMemory::input_floats(config, pair_rows, true) +
                              PassMemory::activation_floats(config, pair_rows, !recompute_activations) +
                              rows * (static_cast<std::size_t>(config.hidden_size) + qkv_width(config)) +
                              2 * tokens * kv_width(config);
  const std::size_t of_all =
      static_cast<std::size_t>(config.num_layers) * tokens * kv_width(config) +
      rows * (LayerScratch::floats_per_row(config) + LayerBackwardScratch::floats_per_row(config)) +
      num_blocks(num_tokens) * kernels::kv_block_floats(config.num_kv_heads, config.head_dim) +
      (tokens + rows) * kv_width(config) + VocabularyHead::scratch_floats(config, pair_rows);
  return sizeof(float) * (pairs * of_pair + of_all);
}

std::size_t SplitPass::kept_bytes(const ModelConfig& config, int num_tokens, int num_pairs) {
  return sizeof(float) * 2 * static_cast<std::size_t>(num_pairs) * static_cast<std::size_t>(num_tokens) *
         kv_width(config);
}

}  // namespace jigsaw
