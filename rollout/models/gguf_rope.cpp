#include "rollout/models/gguf_rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "rollout/models/rope_table.h"

namespace jigsaw {
namespace {

// The divisors are stored as fp32, after a division or two in fp32.
constexpr double kTolerance = 1e-5;

std::vector<double> frequencies_of(const RopeConfig& rope, int head_dim) {
  const auto frequencies = rope_frequencies(rope, head_dim);
  return {frequencies.begin(), frequencies.end()};
}

bool gives(const RopeConfig& candidate, std::span<const double> base, int head_dim, std::span<const float> divisors) {
  const std::vector<double> frequencies = frequencies_of(candidate, head_dim);
  for (std::size_t i = 0; i < frequencies.size(); ++i) {
    const double wanted = base[i] / static_cast<double>(divisors[i]);
    if (!(std::abs(frequencies[i] - wanted) <= kTolerance * wanted)) return false;
  }
  return true;
}

}  // namespace

Result<RopeConfig> llama3_rope_from_divisors(const RopeConfig& base, int head_dim, std::span<const float> divisors) {
  const std::vector<double> frequencies = frequencies_of(base, head_dim);
  const Error unknown(
      ErrorCode::kUnsupported,
      "rope_freqs.weight holds rotary divisors other than those of the Llama 3 scheme; only that is supported");
  if (divisors.size() != frequencies.size()) return unknown;
  // The slowest channels are divided by the whole factor, so it is the largest divisor.
  RopeConfig rope = base;
  rope.kind = RopeConfig::Kind::kLlama3;
  rope.factor = static_cast<double>(*std::max_element(divisors.begin(), divisors.end()));
  rope.low_freq_factor = 1.0;
  rope.high_freq_factor = 4.0;
  rope.original_max_positions = 8192;  // as all published Llama 3 models
  if (!(rope.factor > 1.0) || !std::isfinite(rope.factor)) return unknown;
  if (gives(rope, frequencies, head_dim, divisors)) return rope;

  // Others: between the two bounds the reciprocal divisor is 1/factor + (1 - 1/factor) s, with s linear in
  // L/wavelength. Two such channels tell the line; only L/(high - low) and low/(high - low) matter, so L may stay 8192.
  std::vector<std::pair<double, double>> line;  // L / wavelength, s
  for (std::size_t i = 0; i < frequencies.size(); ++i) {
    const double s = (1.0 / static_cast<double>(divisors[i]) - 1.0 / rope.factor) / (1.0 - 1.0 / rope.factor);
    if (s > 1e-3 && s < 1.0 - 1e-3) line.emplace_back(8192.0 * frequencies[i] / (2 * std::numbers::pi), s);
  }
  if (line.size() < 2) return unknown;
  const double slope = (line.front().second - line.back().second) / (line.front().first - line.back().first);
  rope.low_freq_factor = line.back().first - line.back().second / slope;
  rope.high_freq_factor = rope.low_freq_factor + 1.0 / slope;
  if (!(rope.low_freq_factor > 0) || !(rope.high_freq_factor > rope.low_freq_factor)) return unknown;
  if (!gives(rope, frequencies, head_dim, divisors)) return unknown;
  return rope;
}

}  // namespace jigsaw
