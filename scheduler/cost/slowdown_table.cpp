#include "scheduler/cost/slowdown_table.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "core/check.h"

namespace jigsaw {
namespace {

// Shares that differ by less are one (0.2 and 1 - 0.8 do in the last bit), and are kept as multiples of it.
constexpr double kShareSteps = 1e6;
constexpr double kSameShare = 1 / kShareSteps;

SlowdownTable::Factors mirrored(SlowdownTable::Factors factors) { return {factors.second, factors.first}; }

// A pair in the order in which the table keeps it.
struct Entry {
  SubStageKind first, second;
  double share;
  bool is_mirrored;
};

Entry entry_of(SubStageKind first, SubStageKind second, double share) {
  CHECK(share > 0 && share < 1);
  // Of two of a kind only the lower half is kept.
  if (first < second || (first == second && share <= 0.5)) return {first, second, share, false};
  return {second, first, 1 - share, true};
}

// Speeds of a pair at a share.
struct Point {
  double share, first, second;
};
constexpr Point kNothing{0, 0, 1}, kEverything{1, 1, 0};

Point point_of(double share, SlowdownTable::Factors factors) { return {share, 1 / factors.first, 1 / factors.second}; }

}  // namespace

SlowdownTable::Factors SlowdownTable::interpolated(const Pair& known, bool are_alike, double share) {
  Point below = kNothing, above = kEverything;
  const auto next = std::lower_bound(known.begin(), known.end(), share - kSameShare,
                                     [](const Known& entry, double value) { return entry.share < value; });
  if (next != known.end()) {
    if (next->share < share + kSameShare) return next->factors;
    above = point_of(next->share, next->factors);
  } else if (are_alike) {  // the upper half mirrors the lower one
    above = point_of(1 - known.back().share, mirrored(known.back().factors));
  }
  if (next != known.begin()) below = point_of(std::prev(next)->share, std::prev(next)->factors);
  const double part = (share - below.share) / (above.share - below.share);
  return {1 / (below.first + part * (above.first - below.first)),
          1 / (below.second + part * (above.second - below.second))};
}

SlowdownTable::Factors SlowdownTable::factors(SubStageKind first, SubStageKind second, double share) const {
  if (is_wait(first) || is_wait(second)) return {1, 1};
  const Entry entry = entry_of(first, second, share);
  const Pair& known = pair_of(entry.first, entry.second);
  const Factors found = known.empty() ? Factors{1 / entry.share, 1 / (1 - entry.share)}
                                      : interpolated(known, first == second, entry.share);
  return entry.is_mirrored ? mirrored(found) : found;
}

void SlowdownTable::set(SubStageKind first, SubStageKind second, double share, Factors factors) {
  CHECK(factors.first > 0 && factors.second > 0);
  const Entry entry = entry_of(first, second, share);
  if (entry.is_mirrored) factors = mirrored(factors);
  if (first == second && entry.share > 0.5 - kSameShare) {
    const double mean = (factors.first + factors.second) / 2;
    factors = {mean, mean};
  }
  Pair& known = pairs_[static_cast<std::size_t>(entry.first)][static_cast<std::size_t>(entry.second)];
  const auto next = std::lower_bound(known.begin(), known.end(), entry.share - kSameShare,
                                     [](const Known& of, double value) { return of.share < value; });
  if (next != known.end() && next->share < entry.share + kSameShare)
    next->factors = factors;
  else
    known.insert(next, {std::round(entry.share * kShareSteps) / kShareSteps, factors});
}

void SlowdownTable::observe(SubStageKind kind, SubStageKind beside, double share, double ratio, double weight) {
  CHECK(ratio > 0 && weight >= 0 && weight <= 1);
  if (is_wait(kind) || is_wait(beside)) return;
  const Entry entry = entry_of(kind, beside, share);
  if (pair_of(entry.first, entry.second).empty()) set(kind, beside, share, factors(kind, beside, share));
  Pair& known = pairs_[static_cast<std::size_t>(entry.first)][static_cast<std::size_t>(entry.second)];
  double nearest = 1;
  for (const Known& of : known) nearest = std::min(nearest, std::abs(of.share - entry.share));
  const double step = std::clamp(ratio, 1 / kRatioMax, kRatioMax) - 1;
  for (Known& of : known) {
    const double part = 1 - (std::abs(of.share - entry.share) - nearest) / kReach;
    if (part <= 0) continue;
    const double moved = 1 + weight * part * step;
    const bool are_equals = kind == beside && of.share > 0.5 - kSameShare;
    if (are_equals || !entry.is_mirrored)
      of.factors.first = std::clamp(of.factors.first * moved, kFactorMin, kFactorMax);
    if (are_equals || entry.is_mirrored)
      of.factors.second = std::clamp(of.factors.second * moved, kFactorMin, kFactorMax);
  }
}

void SlowdownTable::fill_rates(std::span<const SubStageKind> kinds, std::span<const double> weights,
                               std::span<double> rates) const {
  CHECK(kinds.size() == weights.size() && kinds.size() == rates.size());
  std::ranges::fill(rates, 1.0);  // slowdowns, until the end
  for (std::size_t i = 0; i < kinds.size(); ++i) {
    for (std::size_t j = i + 1; j < kinds.size(); ++j) {
      const Factors pair = factors(kinds[i], kinds[j], weights[i] / (weights[i] + weights[j]));
      rates[i] += pair.first - 1;
      rates[j] += pair.second - 1;
    }
  }
  for (double& rate : rates) rate = 1 / rate;
}

std::vector<SlowdownTable::Row> SlowdownTable::rows() const {
  std::vector<Row> rows;
  for (int first = 0; first < kNumSubStageKinds; ++first) {
    for (int second = first; second < kNumSubStageKinds; ++second) {
      const auto a = static_cast<SubStageKind>(first), b = static_cast<SubStageKind>(second);
      for (const Known& known : pair_of(a, b)) rows.push_back({a, b, known.share, known.factors});
    }
  }
  return rows;
}

}  // namespace jigsaw
