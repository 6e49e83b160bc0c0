#include "scheduler/prediction/survival_curve.h"

#include <algorithm>
#include <cmath>

namespace jigsaw {

SurvivalCurve::SurvivalCurve(std::vector<Completion> completions) {
  if (!std::is_sorted(completions.begin(), completions.end(), is_shorter))
    std::sort(completions.begin(), completions.end(), is_shorter);
  double survival = 1;
  for (std::size_t first = 0; first < completions.size();) {
    const auto at_risk = static_cast<double>(completions.size() - first);
    std::size_t next = first;
    double ended = 0;
    for (; next < completions.size() && completions[next].tokens == completions[first].tokens; ++next) {
      ended += completions[next].truncated ? 0 : 1;
    }
    survival = next == completions.size() ? 0 : survival * (1 - ended / at_risk);
    if (ended > 0 || survival == 0) knots_.push_back({completions[first].tokens, survival});
    first = next;
  }
  if (knots_.size() > kKnotsMax) merge_neighbours();
}

void SurvivalCurve::merge_neighbours() {
  const double least = knots_[knots_.size() - 2].survival;
  std::vector<Knot> kept;
  const double ratio = std::pow(least, 1 / static_cast<double>(kKnotsMax - 1));
  double level = ratio;
  double weight = 0, tokens = 0;  // of those that become the next one
  for (std::size_t i = 0; i < knots_.size(); ++i) {
    const double ends = (i == 0 ? 1 : knots_[i - 1].survival) - knots_[i].survival;
    weight += ends;
    tokens += ends * knots_[i].tokens;
    const bool is_last = i + 1 == knots_.size();
    if (!is_last && knots_[i].survival > level * (1 + 1e-12)) continue;
    kept.push_back({tokens / weight, knots_[i].survival});
    weight = tokens = 0;
    level *= ratio;
  }
  knots_ = std::move(kept);
}

double SurvivalCurve::survival(double tokens) const {
  const auto above = std::upper_bound(knots_.begin(), knots_.end(), tokens,
                                      [](double value, const Knot& knot) { return value < knot.tokens; });
  return above == knots_.begin() ? 1 : std::prev(above)->survival;
}

double SurvivalCurve::beyond_longest() const {
  const std::size_t count = knots_.size();
  return count < 2 ? 1 : std::max(1.0, knots_[count - 1].tokens - knots_[count - 2].tokens);
}

}  // namespace jigsaw
