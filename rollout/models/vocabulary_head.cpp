#include "rollout/models/vocabulary_head.h"

#include <algorithm>

#include "core/check.h"

namespace jigsaw {
namespace {

// Rows of a chunk. A chunk's products read and write the whole output matrix and its gradient, so it should be large;
// its logits take up to 64 MB (more only for vocabularies over half a million).
int chunk_rows(const ModelConfig& config, int num_logits) {
  return std::min(std::clamp((1 << 24) / config.vocab_size, 32, 1024), num_logits);
}

}  // namespace

// Logit rows [begin, begin + rows) of a pack, and where they are in scratch.
struct VocabularyHead::Chunk {
  int begin = 0, rows = 0;
  float* x = nullptr;         // [rows][H], gathered
  float* normed = nullptr;    // [rows][H]
  float* d_x = nullptr;       // [rows][H]
  float* d_normed = nullptr;  // [rows][H]
  float* logits = nullptr;    // [rows][V]
};

std::size_t VocabularyHead::scratch_floats(const ModelConfig& config, int num_logits) {
  return static_cast<std::size_t>(chunk_rows(config, num_logits)) *
         (4 * static_cast<std::size_t>(config.hidden_size) + static_cast<std::size_t>(config.vocab_size));
}

int VocabularyHead::num_chunks(const TrainingPack& pack) const {
  if (pack.num_logits() == 0) return 0;
  const int rows = chunk_rows(weights_.config(), pack.num_logits());
  return (pack.num_logits() + rows - 1) / rows;
}

VocabularyHead::Chunk VocabularyHead::chunk_at(const TrainingPack& pack, int index) {
  const ModelConfig& config = weights_.config();
  const int rows_max = chunk_rows(config, pack.num_logits()), begin = index * rows_max;
  const std::size_t floats = static_cast<std::size_t>(rows_max) * static_cast<std::size_t>(config.hidden_size);
  Chunk chunk;
  chunk.begin = begin;
  chunk.rows = std::min(rows_max, pack.num_logits() - begin);
  chunk.x = scratch_.require(scratch_floats(config, pack.num_logits()));
  chunk.normed = chunk.x + floats;
  chunk.d_x = chunk.normed + floats;
  chunk.d_normed = chunk.d_x + floats;
  chunk.logits = chunk.d_normed + floats;
  return chunk;
}

void VocabularyHead::project(Lane& lane, const TrainingPack& pack, const Chunk& chunk, const float* x) {
  const ModelConfig& config = weights_.config();
  const int hidden = config.hidden_size;
  float* gathered = chunk.x;
  for (int i = 0; i < chunk.rows; ++i) {
    const std::ptrdiff_t row = pack.logit_rows[static_cast<std::size_t>(chunk.begin + i)];
    gathered = std::copy_n(x + row * hidden, hidden, gathered);
  }
  kernels::rms_norm(lane, chunk.rows, hidden, chunk.x, hidden, weights_.parameter(weights_.layout().final_norm()),
                    config.rms_norm_eps, chunk.normed, hidden);
  kernels::linear(lane, chunk.rows, hidden, config.vocab_size, chunk.normed, hidden,
                  weights_.matrix(weights_.layout().output()), nullptr, chunk.logits, config.vocab_size);
}

void VocabularyHead::forward_chunk(Lane& lane, const TrainingPack& pack, int index, const float* x,
                                   std::span<kernels::LogSoftmaxStats> stats, std::span<float> logprobs,
                                   std::span<float> entropies) {
  const int vocab = weights_.config().vocab_size;
  const Chunk chunk = chunk_at(pack, index);
  const auto first = static_cast<std::size_t>(chunk.begin);
  project(lane, pack, chunk, x);
  kernels::log_softmax_stats(lane, chunk.rows, vocab, chunk.logits, vocab, stats.data() + first);
  if (!entropies.empty()) {
    kernels::entropy(lane, chunk.rows, vocab, chunk.logits, vocab, stats.data() + first, entropies.data() + first);
  }
  for (int i = 0; i < chunk.rows; ++i) {
    const std::size_t at = first + static_cast<std::size_t>(i);
    const float logit = chunk.logits[static_cast<std::ptrdiff_t>(i) * vocab + pack.targets[at]];
    logprobs[at] = kernels::log_prob_of(logit, stats[at]);
  }
  logits_kept_ = index == 0;
}

void VocabularyHead::backward_chunk(Lane& lane, const TrainingPack& pack, int index, const float* x,
                                    std::span<const kernels::LogSoftmaxStats> stats, std::span<const float> dlogp,
                                    std::span<float> gradients, float* dx) {
  const ModelConfig& config = weights_.config();
  const ParameterLayout& layout = weights_.layout();
  const int hidden = config.hidden_size, vocab = config.vocab_size;
  float* d_output = gradients.data() + layout.parameter(layout.output()).offset;
  float* d_final_norm = gradients.data() + layout.parameter(layout.final_norm()).offset;

  const Chunk chunk = chunk_at(pack, index);
  const auto first = static_cast<std::size_t>(chunk.begin), count = static_cast<std::size_t>(chunk.rows);
  if (index > 0 || !logits_kept_) project(lane, pack, chunk, x);
  logits_kept_ = false;
  kernels::log_softmax_backward(lane, chunk.rows, vocab, chunk.logits, vocab, stats.data() + first,
                                std::span(pack.targets).subspan(first, count), dlogp.data() + first);
  kernels::linear_backward_weight(lane, chunk.rows, hidden, vocab, chunk.normed, hidden, chunk.logits, vocab, d_output);
  kernels::linear_backward_input(lane, chunk.rows, hidden, vocab, chunk.logits, vocab, weights_.matrix(layout.output()),
                                 chunk.d_normed, hidden, false);
  kernels::rms_norm_backward(lane, chunk.rows, hidden, chunk.x, hidden, weights_.parameter(layout.final_norm()),
                             config.rms_norm_eps, chunk.d_normed, hidden, chunk.d_x, hidden, false, d_final_norm);
  for (int i = 0; i < chunk.rows; ++i) {
    const std::ptrdiff_t row = pack.logit_rows[first + static_cast<std::size_t>(i)];
    std::copy_n(chunk.d_x + static_cast<std::ptrdiff_t>(i) * hidden, hidden, dx + row * hidden);
  }
}

void VocabularyHead::forward(Lane& lane, const TrainingPack& pack, const float* x,
                             std::span<kernels::LogSoftmaxStats> stats, std::span<float> logprobs,
                             std::span<float> entropies) {
  for (int index = num_chunks(pack) - 1; index >= 0; --index) {
    forward_chunk(lane, pack, index, x, stats, logprobs, entropies);
  }
}

void VocabularyHead::backward(Lane& lane, const TrainingPack& pack, const float* x,
                              std::span<const kernels::LogSoftmaxStats> stats, std::span<const float> dlogp,
                              std::span<float> gradients, float* dx) {
  std::fill_n(dx, static_cast<std::ptrdiff_t>(pack.num_rows()) * weights_.config().hidden_size, 0.0f);
  for (int index = 0; index < num_chunks(pack); ++index) {
    backward_chunk(lane, pack, index, x, stats, dlogp, gradients, dx);
  }
}

}  // namespace jigsaw
