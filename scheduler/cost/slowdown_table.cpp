#include "scheduler/cost/slowdown_table.h"

#include <algorithm>

namespace jigsaw {

SlowdownTable::Factors SlowdownTable::factors(SubStageKind first, SubStageKind second, double share) const {
  if (is_wait(first) || is_wait(second)) return {};
  return {1 / std::max(share, 1e-3), 1 / std::max(1 - share, 1e-3)};
}

std::vector<double> SlowdownTable::rates(std::span<const SubStageKind> kinds, std::span<const double> weights) const {
  std::vector<double> rates;
  for (std::size_t i = 0; i < kinds.size(); ++i) {
    double factor = 1;
    for (std::size_t j = 0; j < kinds.size(); ++j) {
      if (i != j) factor += factors(kinds[i], kinds[j], weights[i] / (weights[i] + weights[j])).first - 1;
    }
    rates.push_back(1 / factor);
  }
  return rates;
}

}  // namespace jigsaw
