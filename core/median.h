// The middle of measurements.
#pragma once

#include <algorithm>
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

}  // namespace jigsaw
