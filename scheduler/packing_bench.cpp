#include "scheduler/packing_bench.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

#include "core/check.h"
#include "graph/chunk_pairs.h"
#include "graph/graph.h"
#include "scheduler/slot_balance.h"

namespace jigsaw {

std::vector<double> long_tailed_lengths(int count, double sigma, std::uint32_t seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<double> normal(0.0, sigma);
  std::vector<double> lengths;
  for (int i = 0; i < count; ++i)
    lengths.push_back(std::clamp(std::floor(800 * std::exp(normal(generator))), 16.0, 16384.0));
  return lengths;
}

double long_tailed_work(double length) { return length + length * length / 4096; }

namespace {

double imbalance_in_chunks(const std::vector<double>& lengths, const PackingBenchOptions& options) {
  const std::vector<int> tokens(lengths.begin(), lengths.end());
  const std::vector<int> num_pairs = chunk_pairs(tokens, options.split_tokens);
  std::vector<double> of_pairs, of_slots;
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    const double work = long_tailed_work(lengths[i]);
    of_pairs.insert(of_pairs.end(), static_cast<std::size_t>(num_pairs[i]), work / num_pairs[i]);
    of_slots.push_back(num_pairs[i] > 0 ? 0 : work);
  }
  return deal_update(of_pairs, num_pairs, of_slots, options.num_workers).imbalance;
}

}  // namespace

PackingBenchResult run_packing_bench(const PackingBenchOptions& options) {
  CHECK(options.num_workers >= 1 && options.num_samples >= 1 && options.num_batches >= 1);
  PackingBenchResult sum;
  for (int batch = 0; batch < options.num_batches; ++batch) {
    const std::vector<double> lengths =
        long_tailed_lengths(options.num_samples, options.sigma, static_cast<std::uint32_t>(batch));
    std::vector<double> work;
    for (const double length : lengths) work.push_back(long_tailed_work(length));
    const auto imbalance_of = [&](const std::vector<std::uint32_t>& owners) {
      return imbalance(work, owners, options.num_workers);
    };
    const double mean = std::accumulate(work.begin(), work.end(), 0.0) / options.num_workers;
    sum.arrival_order += imbalance_of(slot_owners(options.num_samples, options.num_workers));
    sum.by_tokens += imbalance_of(balanced_slot_owners(lengths, options.num_workers));
    sum.by_work += imbalance_of(balanced_slot_owners(work, options.num_workers));
    sum.in_chunks += imbalance_in_chunks(lengths, options);
    sum.longest_sample += std::max(1.0, *std::ranges::max_element(work) / mean);
  }
  return {sum.arrival_order / options.num_batches, sum.by_tokens / options.num_batches,
          sum.by_work / options.num_batches, sum.longest_sample / options.num_batches,
          sum.in_chunks / options.num_batches};
}

}  // namespace jigsaw
