#include "scheduler/prediction/work_scale.h"

#include <algorithm>

namespace jigsaw {

void WorkScale::observe(SubStageKind kind, double expected, double work_s) {
  if (expected <= 0 || work_s <= 0) return;
  double& scale = scale_[static_cast<std::size_t>(kind)];
  const double observed = work_s / expected;
  if (scale == 0) scale = observed;
  scale *= 1 + kWeight * (std::clamp(observed / scale, 1 / kRatioMax, kRatioMax) - 1);
}

std::optional<double> WorkScale::work_s(SubStageKind kind, double expected) const {
  const double scale = scale_[static_cast<std::size_t>(kind)];
  if (scale == 0 || expected <= 0) return std::nullopt;
  return scale * expected;
}

}  // namespace jigsaw
