#include "scheduler/cost/slowdown_model.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"

namespace jigsaw {
namespace {

constexpr int kShareLevels = 20;

// The y of the header's formula.
double memory_stretch(double b1, double v1, double b2, double v2) {
  const double wanted = b1 * v1 + b2 * v2;
  if (wanted <= 1) return 0;
  // b1 v1 (1 + b2 y) + b2 v2 (1 + b1 y) = (1 + b1 y) (1 + b2 y), where b1 b2 > 0 since neither reaches 1 alone.
  const double a = b1 * b2, b = b1 + b2 - b1 * b2 * (v1 + v2), c = 1 - wanted;
  return (-b + std::sqrt(b * b - 4 * a * c)) / (2 * a);
}

}  // namespace

SlowdownTable::Factors SlowdownModel::factors(const Use& first, const Use& second, double share) const {
  CHECK(share > 0 && share < 1);
  const double v1 = std::min(1.0, share / first.saturates_at), v2 = std::min(1.0, (1 - share) / second.saturates_at);
  const double stretch = memory_stretch(first.bandwidth, v1, second.bandwidth, v2);
  return {(1 + corun_overhead) / v1 * (1 + first.bandwidth * stretch),
          (1 + corun_overhead) / v2 * (1 + second.bandwidth * stretch)};
}

SlowdownTable SlowdownModel::table() const {
  SlowdownTable table;
  for (const auto& [first, first_use] : kinds) {
    for (const auto& [second, second_use] : kinds) {
      if (second < first) continue;
      for (int level = 1; level < kShareLevels; ++level) {
        const double share = static_cast<double>(level) / kShareLevels;
        table.set(first, second, share, factors(first_use, second_use, share));
      }
    }
  }
  return table;
}

}  // namespace jigsaw
