// How much sub-stages slow each other down when they share a worker (JigsawRL, arXiv 2604.23838, section 4: the
// slowdown table).
#pragma once

#include <array>
#include <span>
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
  // What `kind` took on `share` of the worker beside the other one was `ratio` times what the table says. The entry at
  // the nearest known share moves by `weight` (0 to 1) of the way there, others of the pair within kReach of it by
  // less, the further away they are. Of a pair with no entry yet, one is made at this share. A single observation
  // counts for kRatioMax at most, and no factor leaves [kFactorMin, kFactorMax].
  static constexpr double kReach = 0.25, kRatioMax = 2, kFactorMin = 0.5, kFactorMax = 1000;
  void observe(SubStageKind kind, SubStageKind beside, double share, double ratio, double weight);

  // 1 / factor of each of several sub-stages that run together with these weights: of any number the slowdowns by each
  // single other add up.
  // Written into memory of the caller's, as long as the others.
  void fill_rates(std::span<const SubStageKind> kinds, std::span<const double> weights, std::span<double> rates) const;

  struct Row {
    SubStageKind first, second;
    double share;
    Factors factors;
    bool operator==(const Row&) const = default;
  };
  std::vector<Row> rows() const;  // as set, first <= second; ascending

 private:
  struct Known {
    double share;  // of the first
    Factors factors;
  };
  using Pair = std::vector<Known>;  // ascending by share
  static Factors interpolated(const Pair& known, bool are_alike, double share);
  const Pair& pair_of(SubStageKind first, SubStageKind second) const {
    return pairs_[static_cast<std::size_t>(first)][static_cast<std::size_t>(second)];
  }

  std::array<std::array<Pair, kNumSubStageKinds>, kNumSubStageKinds> pairs_;  // [first][second], first <= second
};

}  // namespace jigsaw
