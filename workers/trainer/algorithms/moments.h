// Mean and standard deviation as every algorithm here means them. Internal to the advantage rules.
#pragma once

#include <cmath>
#include <span>

namespace jigsaw {

inline constexpr double kDeviationEpsilon = 1e-4;  // added to every standard deviation that divides (TRL's)

struct Moments {
  double mean = 0;
  double deviation = 0;  // divides by n - 1; 0 for a single value
};

// Relative to the first value, so that equal values have exactly that mean and deviation 0.
inline Moments moments_of(std::span<const double> values) {
  if (values.empty()) return {};
  const double shift = values.front();
  double sum = 0;
  for (const double value : values) sum += value - shift;
  const auto count = static_cast<double>(values.size());
  const double mean = shift + sum / count;
  if (values.size() == 1) return {mean, 0};
  double squares = 0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  return {mean, std::sqrt(squares / (count - 1))};
}

}  // namespace jigsaw
