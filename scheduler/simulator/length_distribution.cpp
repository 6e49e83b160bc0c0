#include "scheduler/simulator/length_distribution.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"

namespace jigsaw {
namespace {

constexpr double kShortestOfMedian = 0.25;

}  // namespace

LengthDistribution::LengthDistribution(const WorkloadFacts& facts)
    : measured_(facts.response_lengths), prompt_tokens_(facts.prompt_tokens), response_max_(facts.response_max) {
  const double longest = facts.prompt_tokens + facts.response_max;
  const double fixed = facts.prompt_tokens + facts.tool_tokens * static_cast<double>(facts.turns.size() - 1);
  const auto& published = facts.total_quantiles;
  const double median = std::min(published[0], longest);
  const double shortest =
      std::min(median, std::max(fixed + kShortestOfMedian * std::max(0.0, median - fixed), facts.prompt_tokens + 1));
  const std::array<double, 5> tokens = {shortest, median, std::min(published[1], longest),
                                        std::min(published[2], longest), longest};
  std::transform(tokens.begin(), tokens.end(), log_tokens_.begin(), [](double value) { return std::log(value); });

  const auto step = [&](std::size_t i) { return kQuantiles[i + 1] - kQuantiles[i]; };
  const auto secant = [&](std::size_t i) { return (log_tokens_[i + 1] - log_tokens_[i]) / step(i); };
  slopes_.front() = secant(0);
  slopes_.back() = secant(3);
  for (std::size_t i = 1; i < 4; ++i) {
    const double before = secant(i - 1), after = secant(i);
    if (before <= 0 || after <= 0) continue;  // flat on one side: flat here
    const double weight_before = 2 * step(i) + step(i - 1), weight_after = step(i) + 2 * step(i - 1);
    slopes_[i] = (weight_before + weight_after) / (weight_before / before + weight_after / after);
  }
}

double LengthDistribution::total(double u) const {
  CHECK(u >= 0 && u <= 1);
  if (!measured_.empty()) {
    const auto index = static_cast<std::size_t>(u * static_cast<double>(measured_.size()));
    return prompt_tokens_ + measured_[std::min(index, measured_.size() - 1)];
  }
  std::size_t i = 0;
  while (i < 3 && u > kQuantiles[i + 1]) ++i;
  const double width = kQuantiles[i + 1] - kQuantiles[i], t = (u - kQuantiles[i]) / width, s = 1 - t;
  return std::exp(s * s * ((1 + 2 * t) * log_tokens_[i] + t * width * slopes_[i]) +
                  t * t * ((1 + 2 * s) * log_tokens_[i + 1] - s * width * slopes_[i + 1]));
}

int LengthDistribution::response(double u, int least) const {
  const int tokens = static_cast<int>(std::lround(total(u) - prompt_tokens_));
  return std::min(std::max(tokens, least), response_max_);
}

}  // namespace jigsaw
