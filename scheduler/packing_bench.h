// How well slots of long-tailed lengths are dealt out to workers: what `jigsaw bench packing` shows. The lengths are
// drawn, the placement is balanced_slot_owners(), as in a run. Pure functions of their arguments.
#pragma once

#include <cstdint>
#include <vector>

namespace jigsaw {

// Tokens of `count` completions: lognormal around 800, within [16, 16384].
std::vector<double> long_tailed_lengths(int count, double sigma, std::uint32_t seed);
// a L^2 + b L, in units of b: the square is as large as the line at 4096 tokens.
double long_tailed_work(double length);

struct PackingBenchOptions {
  int num_workers = 8;
  int num_samples = 64;  // a slot each, so that only the longest of them bounds what can be reached
  double sigma = 0.9;
  int num_batches = 30;
  int split_tokens = 1024;  // of the last figure
};

// Work of the busiest worker over the mean, averaged over the batches.
struct PackingBenchResult {
  double arrival_order = 0;   // equal runs of neighbours
  double by_tokens = 0;       // as if work were tokens
  double by_work = 0;         // as runs do it
  double longest_sample = 0;  // no placement of whole samples gets below
  double in_chunks = 0;       // as runs do it with train.split_tokens
};
PackingBenchResult run_packing_bench(const PackingBenchOptions& options);

}  // namespace jigsaw
