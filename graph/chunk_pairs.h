// Which samples of an update are cut into chunks, so that several workers can train one together
// (rollout/models/split_pass.h), and how: a function of the samples' lengths and the configuration alone, as the
// gradient's bits follow from it. Each pair of chunks has a gradient of its own. An update's gradient is the sum, by
// the slot tree (workers/trainer/slot_tree.h), over the pairs of all cut samples, in order of sample and pair, and then
// over the slots with their other samples. Pure functions.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace jigsaw {

// Of a sample: as many workers can share it, and whoever trains it alone holds as many gradients.
inline constexpr int kChunkPairsMax = 8;
// Of an update: where there are more that are long, none of them holds up all others.
inline constexpr int kCutSamplesMax = 4;

// Pairs of a sample of so many tokens; 0: it is not cut. Samples of more than split_tokens (0: none) may be, into
// chunks of at most as many tokens unless they are longer than 2 * kChunkPairsMax of those.
inline int num_chunk_pairs(int num_tokens, int split_tokens) {
  if (split_tokens <= 0 || num_tokens <= split_tokens) return 0;
  const std::int64_t rows = num_tokens - 1, of_pair = std::int64_t{2} * split_tokens;
  return static_cast<int>(std::min<std::int64_t>((rows + of_pair - 1) / of_pair, kChunkPairsMax));
}

// Pairs of each sample of an update, given how many tokens of each are trained (0: nothing of it). Of those that are
// long enough the longest are cut, the first of equals.
inline std::vector<int> chunk_pairs(std::span<const int> lengths, int split_tokens) {
  std::vector<int> num_pairs(lengths.size()), longest;
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    if (num_chunk_pairs(lengths[i], split_tokens) > 0) longest.push_back(static_cast<int>(i));
  }
  std::ranges::stable_sort(longest, std::greater(), [&](int i) { return lengths[static_cast<std::size_t>(i)]; });
  if (longest.size() > kCutSamplesMax) longest.resize(kCutSamplesMax);
  for (const int i : longest) {
    const auto sample = static_cast<std::size_t>(i);
    num_pairs[sample] = num_chunk_pairs(lengths[sample], split_tokens);
  }
  return num_pairs;
}

// First row of each of the 2 * num_pairs chunks, and the number of rows, num_tokens - 1. Equal but for one row.
inline std::vector<int> chunk_begins(int num_tokens, int num_pairs) {
  const int num_chunks = 2 * num_pairs;
  std::vector<int> begins;
  for (std::int64_t chunk = 0; chunk <= num_chunks; ++chunk) {
    begins.push_back(static_cast<int>(chunk * (num_tokens - 1) / num_chunks));
  }
  return begins;
}

}  // namespace jigsaw
