// The middle of measurements, and their ends.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "core/check.h"

namespace jigsaw {

// The middle value, or the mean of the two in the middle. At least one value.
inline double median(std::vector<double> values) {
  CHECK(!values.empty());
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

// The least of the values that a part q in (0, 1] of them does not exceed (nearest rank). At least one value.
inline double quantile(std::vector<double> values, double q) {
  CHECK(!values.empty() && q > 0 && q <= 1);
  std::sort(values.begin(), values.end());
  // Less a trifle, for products such as 0.07 * 100 that come out above the whole number.
  const auto rank = static_cast<std::size_t>(std::ceil(q * static_cast<double>(values.size()) - 1e-9));
  return values[std::max<std::size_t>(rank, 1) - 1];
}

}  // namespace jigsaw
