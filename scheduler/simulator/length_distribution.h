// How long the samples of a workload are: fitted to the three quantiles that are published, or as they were measured.
#pragma once

#include <array>
#include <vector>

#include "scheduler/cost/profile.h"

namespace jigsaw {

// Quantile function of prompt + response tokens: through p50, p90, p99 and the longest possible sample, in log space,
// by a monotone cubic (Fritsch-Carlson with harmonic means), so that it goes through the points and turns nowhere.
//
// Assumed, since nothing is published of it:
//   - every prompt is as long as the mean one;
//   - the shortest response has a quarter of the median's tokens, less what tools added (one number for all
//     workloads; with it the mean response, which is not fitted, comes out within a few per cent for most).
//
// With measured lengths (facts.response_lengths) none of this is needed: each of them is drawn as often as any other.
class LengthDistribution {
 public:
  explicit LengthDistribution(const WorkloadFacts& facts);

  double total(double u) const;  // tokens at quantile u in [0, 1]
  // Tokens of the response, of at least `least`, at most response_max.
  int response(double u, int least = 1) const;

 private:
  static constexpr std::array<double, 5> kQuantiles = {0, 0.5, 0.9, 0.99, 1};
  std::array<double, 5> log_tokens_{}, slopes_{};
  std::vector<double> measured_;  // responses, ascending; empty = fitted
  double prompt_tokens_;
  int response_max_;
};

}  // namespace jigsaw
