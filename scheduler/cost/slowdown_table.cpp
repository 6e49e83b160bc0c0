#include "scheduler/cost/slowdown_table.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "core/check.h"

namespace jigsaw {
namespace {

constexpr double kObservationWeight = 0.2;
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

// `end` lies beyond the known shares.
SlowdownTable::Factors interpolated(const std::map<double, SlowdownTable::Factors>& known, Point end, double share) {
  Point below = kNothing, above = end;
  const auto next = known.lower_bound(share - kSameShare);
  if (next != known.end()) {
    if (next->first < share + kSameShare) return next->second;
    above = point_of(next->first, next->second);
  }
  if (next != known.begin()) below = point_of(std::prev(next)->first, std::prev(next)->second);
  const double part = (share - below.share) / (above.share - below.share);
  return {1 / (below.first + part * (above.first - below.first)),
          1 / (below.second + part * (above.second - below.second))};
}

}  // namespace

SlowdownTable::Factors SlowdownTable::factors(SubStageKind first, SubStageKind second, double share) const {
  if (is_wait(first) || is_wait(second)) return {1, 1};
  const Entry entry = entry_of(first, second, share);
  Factors found{1 / entry.share, 1 / (1 - entry.share)};
  if (const auto pair = pairs_.find({entry.first, entry.second}); pair != pairs_.end()) {
    Point end = kEverything;
    if (first == second) {  // the upper half mirrors the lower one
      const auto& [last_share, last] = *pair->second.rbegin();
      end = point_of(1 - last_share, mirrored(last));
    }
    found = interpolated(pair->second, end, entry.share);
  }
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
  auto& known = pairs_[{entry.first, entry.second}];
  const auto next = known.lower_bound(entry.share - kSameShare);
  if (next != known.end() && next->first < entry.share + kSameShare)
    next->second = factors;
  else
    known.emplace(std::round(entry.share * kShareSteps) / kShareSteps, factors);
}

void SlowdownTable::observe(SubStageKind first, SubStageKind second, double share, Factors observed) {
  CHECK(observed.first > 0 && observed.second > 0);
  if (is_wait(first) || is_wait(second)) return;
  Entry entry = entry_of(first, second, share);
  Factors expected = factors(first, second, share);
  if (entry.is_mirrored) {
    expected = mirrored(expected);
    observed = mirrored(observed);
  }
  Factors old = expected;
  if (const auto pair = pairs_.find({entry.first, entry.second}); pair != pairs_.end()) {
    const auto& known = pair->second;
    const auto nearest = std::min_element(known.begin(), known.end(), [&](const auto& a, const auto& b) {
      return std::abs(a.first - entry.share) < std::abs(b.first - entry.share);
    });
    entry.share = nearest->first;
    old = nearest->second;
  }
  const auto moved = [](double value, double ratio) { return value * (1 + kObservationWeight * (ratio - 1)); };
  set(entry.first, entry.second, entry.share,
      {moved(old.first, observed.first / expected.first), moved(old.second, observed.second / expected.second)});
}

std::vector<double> SlowdownTable::rates(std::span<const SubStageKind> kinds, std::span<const double> weights) const {
  CHECK(kinds.size() == weights.size());
  std::vector<double> rates;
  for (std::size_t i = 0; i < kinds.size(); ++i) {
    double factor = 1;
    for (std::size_t j = 0; j < kinds.size(); ++j) {
      if (j == i) continue;
      factor += factors(kinds[i], kinds[j], weights[i] / (weights[i] + weights[j])).first - 1;
    }
    rates.push_back(1 / factor);
  }
  return rates;
}

std::vector<SlowdownTable::Row> SlowdownTable::rows() const {
  std::vector<Row> rows;
  for (const auto& [pair, shares] : pairs_) {
    for (const auto& [share, factors] : shares) rows.push_back({pair.first, pair.second, share, factors});
  }
  return rows;
}

}  // namespace jigsaw
