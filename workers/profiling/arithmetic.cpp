#include "workers/profiling/arithmetic.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <tuple>
#include <utility>

#include "core/check.h"

namespace jigsaw {

double mean(std::span<const double> values) {
  if (values.empty()) return 0;
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

std::vector<double> order_statistics(std::vector<double> values, std::size_t count) {
  CHECK(count >= 1);
  std::sort(values.begin(), values.end());
  if (values.size() <= count) return values;
  std::vector<double> kept;
  for (std::size_t i = 0; i < count; ++i) kept.push_back(values[(2 * i + 1) * values.size() / (2 * count)]);
  return kept;
}

LinearTime linear_time(double first_tokens, double first_s, double second_tokens, double second_s) {
  CHECK(first_tokens < second_tokens);
  const double token_s = (second_s - first_s) / (second_tokens - first_tokens);
  if (token_s < 0) return {.token_s = 0, .pass_s = second_s};
  const double pass_s = first_s - token_s * first_tokens;
  if (pass_s < 0) return {.token_s = second_s / second_tokens, .pass_s = 0};
  return {.token_s = token_s, .pass_s = pass_s};
}

std::vector<SlowdownMeasurement> merged(std::span<const SlowdownMeasurement> measurements) {
  // Shares that are one but for rounding (0.25 and 1 - 0.75) are one.
  constexpr double kShareSteps = 1e6;
  struct Sum {
    double first = 0, second = 0, count = 0;
  };
  std::map<std::tuple<SubStageKind, SubStageKind, double>, Sum> sums;
  for (SlowdownMeasurement one : measurements) {
    const bool same = one.first == one.second;
    if (one.second < one.first || (same && one.share > 0.5)) {
      std::swap(one.first, one.second);
      std::swap(one.first_factor, one.second_factor);
      one.share = 1 - one.share;
    }
    const double share = std::round(one.share * kShareSteps) / kShareSteps;
    if (same && share == 0.5) one.first_factor = one.second_factor = (one.first_factor + one.second_factor) / 2;
    Sum& sum = sums[{one.first, one.second, share}];
    sum.first += one.first_factor;
    sum.second += one.second_factor;
    sum.count += 1;
  }
  std::vector<SlowdownMeasurement> result;
  for (const auto& [key, sum] : sums) {
    const auto& [first, second, share] = key;
    result.push_back(
        {first, second, share, std::max(1.0, sum.first / sum.count), std::max(1.0, sum.second / sum.count)});
  }
  return result;
}

}  // namespace jigsaw
