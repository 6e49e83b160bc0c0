#include "rollout/engine/pass_cost.h"

#include <algorithm>

#include "core/check.h"

namespace jigsaw {
namespace {

// Of a row more, as a share of a pass, where nothing larger was measured: low enough that a promising draft is tried.
constexpr double kRowGuess = 0.02;
constexpr int kSettledCount = 4;
constexpr double kNewShare = 0.2;
constexpr std::int64_t kKnownPasses = 64;

}  // namespace

void PassCost::record(int rows, double seconds) {
  CHECK(rows >= 1 && rows <= kRowsMax);
  Entry& entry = entries_[static_cast<std::size_t>(rows)];
  if (!is_fresh(entry)) entry.count = 0;
  ++num_passes_;
  if (entry.count == 0) {
    entry.seconds = seconds;
  } else if (entry.count < kSettledCount) {
    entry.seconds = std::min(entry.seconds, seconds);  // the first ones may meet cold memory
  } else {
    entry.seconds += kNewShare * (std::min(seconds, 2 * entry.seconds) - entry.seconds);  // a hiccup is no trend
  }
  ++entry.count;
  entry.last_pass = num_passes_;
  smallest_ = std::min(smallest_, rows);
}

// What was measured once may have been a hiccup, and what was measured long ago met other contexts and neighbours.
bool PassCost::is_fresh(const Entry& entry) const {
  return entry.count > 0 && num_passes_ - entry.last_pass <= 32 * std::min(entry.count, 16);
}

bool PassCost::is_known(int rows) const {
  const Entry& asked = entry(rows);
  return asked.count >= 2 && num_passes_ - asked.last_pass <= kKnownPasses;
}

double PassCost::seconds(int rows) const {
  if (is_fresh(entry(rows))) return entry(rows).seconds;
  int below = rows - 1, above = rows + 1;
  while (below >= 1 && !is_fresh(entry(below))) --below;
  while (above <= kRowsMax && !is_fresh(entry(above))) ++above;
  if (below < 1) return entry(above <= kRowsMax ? above : smallest_).seconds;
  const double low = entry(below).seconds;
  // Never less than with fewer rows, but for noise.
  if (above > kRowsMax) return low * (1 + kRowGuess * (rows - below));
  return low + std::max(0.0, entry(above).seconds - low) * (rows - below) / (above - below);
}

}  // namespace jigsaw
