// How much sub-stages slow each other down when they share a worker (JigsawRL, arXiv 2604.23838, section 4: the
// slowdown table).
#pragma once

#include <map>
#include <span>
#include <utility>
#include <vector>

#include "graph/sub_stage_kind.h"

namespace jigsaw {

// A factor is time beside the other / time alone on the whole worker, so at least about 1. A share is the part of the
// worker that the first of a pair has against the second, in (0, 1); the second has the rest. A plain value.
class SlowdownTable {
 public:
  struct Factors {
    double first = 1, second = 1;
    bool operator==(const Factors&) const = default;
  };

  // Between the known shares of a pair speeds (1 / factor) are interpolated linearly; towards the ends they go to those
  // of whoever has nothing (0) and whoever has everything (1). So pairs that were not set take time slices of one core,
  // 1 / share and 1 / (1 - share). Sub-stages that wait for others (tool, reward) neither slow down nor are slowed.
  Factors factors(SubStageKind first, SubStageKind second, double share) const;
  // Replaces what is known of this pair at this share; the mirrored pair follows. Two of one kind at equal shares are
  // told apart by nothing: both get the mean.
  void set(SubStageKind first, SubStageKind second, double share, Factors factors);
  // Moves the entry at the nearest known share a fifth of the way: by the ratio of what was observed to what was
  // expected at the observed share. Of a pair with no entry yet, one is made at this share.
  void observe(SubStageKind first, SubStageKind second, double share, Factors observed);

  // 1 / factor of each of several sub-stages that run together with these weights: of any number the slowdowns by each
  // single other add up.
  std::vector<double> rates(std::span<const SubStageKind> kinds, std::span<const double> weights) const;

  struct Row {
    SubStageKind first, second;
    double share;
    Factors factors;
    bool operator==(const Row&) const = default;
  };
  std::vector<Row> rows() const;  // as set, first <= second; ascending

 private:
  using Pair = std::pair<SubStageKind, SubStageKind>;
  std::map<Pair, std::map<double, Factors>> pairs_;  // first <= second; by share of the first
};

}  // namespace jigsaw
