// What work takes alone, learnt from sub-stages that ran by themselves: observed / expected, by kind. What is expected
// comes from the content (decode passes by their width and context, tokens trained), in seconds of a measured ModelCost
// or in any unit that is proportional to them. So the cost of an iteration is its kind's scale, times the cost by batch
// and context, times the slowdown by share.
#pragma once

#include <array>
#include <optional>

#include "graph/sub_stage_kind.h"

namespace jigsaw {

class WorkScale {
 public:
  // The first observation of a kind sets its scale; each later one moves it so far of the way, and no further than from
  // this ratio.
  static constexpr double kWeight = 0.2, kRatioMax = 2;

  void observe(SubStageKind kind, double expected, double work_s);
  // Empty before the kind was seen.
  std::optional<double> work_s(SubStageKind kind, double expected) const;

 private:
  std::array<double, kNumSubStageKinds> scale_{};  // 0 = not known
};

}  // namespace jigsaw
