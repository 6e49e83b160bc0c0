#include "rollout/engine/sampler.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "core/philox.h"
#include "rollout/kernels/kernels.h"

namespace jigsaw {
namespace {

struct Candidate {
  float logit;
  TokenId token;
};
// Descending logit, ties by id: exp is monotone, so this is descending probability too.
bool comes_before(const Candidate& a, const Candidate& b) {
  return a.logit > b.logit || (a.logit == b.logit && a.token < b.token);
}

TokenId largest_logit(std::span<const float> logits) {
  TokenId best = 0;
  float best_logit = -std::numeric_limits<float>::infinity();
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] > best_logit) {
      best_logit = logits[i];
      best = static_cast<TokenId>(i);
    }
  }
  return best;
}

// The distribution over the whole row. Only sums of blocks are kept, and the block that is hit is computed again: no
// memory of the vocabulary's size is needed, and rows can be drawn on as many threads as there are.
class RowWeights {
 public:
  RowWeights(std::span<const float> logits, float max_logit, float inverse_temperature)
      : logits_(logits), max_logit_(max_logit), inverse_temperature_(inverse_temperature) {
    const std::size_t num_chunks = (logits.size() + kChunk - 1) / kChunk;
    block_size_ = kChunk * ((num_chunks + kBlocksMax - 1) / kBlocksMax);
    for (std::size_t begin = 0; begin < logits.size(); begin += block_size_) {
      block_sums_[num_blocks_] = sum_block(begin);
      total_ += block_sums_[num_blocks_++];
    }
  }

  double total() const { return total_; }

  // The first token whose cumulative weight exceeds `target`, which is below total().
  TokenId find(double target) const {
    double cumulative = 0;
    std::size_t block = 0;
    for (; block + 1 < num_blocks_ && cumulative + block_sums_[block] <= target; ++block) {
      cumulative += block_sums_[block];
    }
    // Rounding may leave the target just past the last token of its block: then it is the last one that can be drawn.
    TokenId token = 0;
    std::array<float, kChunk> weights;
    const std::size_t end = std::min(logits_.size(), (block + 1) * block_size_);
    for (std::size_t begin = block * block_size_; begin < end; begin += kChunk) {
      const std::size_t count = chunk_weights(begin, weights);
      for (std::size_t i = 0; i < count; ++i) {
        if (weights[i] == 0) continue;
        token = static_cast<TokenId>(begin + i);
        cumulative += weights[i];
        if (cumulative > target) return token;
      }
    }
    return token;
  }

 private:
  static constexpr std::size_t kChunk = 256;
  static constexpr std::size_t kBlocksMax = 1024;

  std::size_t chunk_weights(std::size_t begin, std::array<float, kChunk>& weights) const {
    const std::size_t count = std::min(kChunk, logits_.size() - begin);
    kernels::exp_scaled(count, logits_.data() + begin, max_logit_, inverse_temperature_, weights.data());
    return count;
  }

  double sum_block(std::size_t block_begin) const {
    std::array<double, 4> sums{};  // four chains, as one would wait for each addition
    std::array<float, kChunk> weights;
    const std::size_t block_end = std::min(logits_.size(), block_begin + block_size_);
    for (std::size_t begin = block_begin; begin < block_end; begin += kChunk) {
      const std::size_t count = chunk_weights(begin, weights);
      std::size_t i = 0;
      for (; i + 4 <= count; i += 4) {
        for (std::size_t lane = 0; lane < 4; ++lane) sums[lane] += weights[i + lane];
      }
      for (; i < count; ++i) sums[i % 4] += weights[i];
    }
    return (sums[0] + sums[1]) + (sums[2] + sums[3]);
  }

  std::span<const float> logits_;
  float max_logit_;
  float inverse_temperature_;
  std::size_t block_size_ = kChunk;
  std::size_t num_blocks_ = 0;
  double total_ = 0;
  std::array<double, kBlocksMax> block_sums_;
};

// The `count` first tokens by comes_before(), in that order. NaNs are no candidates.
std::vector<Candidate> first_candidates(std::span<const float> logits, std::size_t count) {
  std::vector<Candidate> heap;  // its front comes last
  heap.reserve(count);
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const Candidate candidate{logits[i], static_cast<TokenId>(i)};
    if (std::isnan(candidate.logit)) continue;
    if (heap.size() < count) {
      heap.push_back(candidate);
      std::push_heap(heap.begin(), heap.end(), comes_before);
    } else if (comes_before(candidate, heap.front())) {
      std::pop_heap(heap.begin(), heap.end(), comes_before);
      heap.back() = candidate;
      std::push_heap(heap.begin(), heap.end(), comes_before);
    }
  }
  std::sort_heap(heap.begin(), heap.end(), comes_before);
  return heap;
}

// Cumulative weights of candidates in order.
std::vector<double> cumulative_weights(std::span<const Candidate> candidates, float max_logit,
                                       float inverse_temperature) {
  std::vector<float> weights(candidates.size());
  for (std::size_t i = 0; i < weights.size(); ++i) weights[i] = candidates[i].logit;
  kernels::exp_scaled(weights.size(), weights.data(), max_logit, inverse_temperature, weights.data());
  std::vector<double> cumulative(weights.size());
  double sum = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) cumulative[i] = sum += weights[i];
  return cumulative;
}

TokenId sample_truncated(std::span<const float> logits, float max_logit, float inverse_temperature, int top_k,
                         float top_p, double uniform) {
  const std::size_t count_max = top_k > 0 ? static_cast<std::size_t>(top_k) : logits.size();
  // Most of the mass is in few tokens: without top_k, a growing number of candidates is tried until it is reached.
  std::size_t count = top_k > 0 ? count_max : std::min<std::size_t>(count_max, 64);
  double row_mass = 0;
  if (top_k == 0) row_mass = RowWeights(logits, max_logit, inverse_temperature).total();
  for (;; count = std::min(count * 8, count_max)) {
    const std::vector<Candidate> candidates = first_candidates(logits, count);
    const std::vector<double> cumulative = cumulative_weights(candidates, max_logit, inverse_temperature);
    if (cumulative.empty() || !std::isfinite(cumulative.back())) return largest_logit(logits);
    const double mass_wanted = double{top_p} * (top_k > 0 ? cumulative.back() : row_mass);
    auto last = std::lower_bound(cumulative.begin(), cumulative.end(), mass_wanted);
    if (last == cumulative.end()) {
      if (count < count_max) continue;
      --last;  // the row's mass was summed in another order
    }
    const auto hit = std::upper_bound(cumulative.begin(), last, uniform * *last);
    return candidates[static_cast<std::size_t>(hit - cumulative.begin())].token;
  }
}

}  // namespace

TokenId sample_token(std::span<const float> logits, float max_logit, const SamplingParams& params,
                     std::uint64_t random_key, std::uint64_t draw_index) {
  if (params.temperature < kTemperatureMin || !std::isfinite(max_logit)) return largest_logit(logits);
  const double uniform = philox_uniform(random_key, 0, draw_index);
  const float inverse_temperature = 1.0f / params.temperature;
  const int top_k = params.top_k < static_cast<int>(logits.size()) ? params.top_k : 0;
  if (top_k > 0 || params.top_p < 1) {
    return sample_truncated(logits, max_logit, inverse_temperature, top_k, params.top_p, uniform);
  }
  const RowWeights weights(logits, max_logit, inverse_temperature);
  if (!std::isfinite(weights.total())) return largest_logit(logits);
  return weights.find(uniform * weights.total());
}

}  // namespace jigsaw
