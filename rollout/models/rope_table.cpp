#include "rollout/models/rope_table.h"

#include <cmath>
#include <numbers>

#include "core/check.h"

namespace jigsaw {
namespace {

// Long waves are slowed by `factor`, short ones kept, and those between blended (conventions.md, `rope_type: llama3`).
double llama3_frequency(const RopeConfig& rope, double frequency) {
  const double wavelength = 2.0 * std::numbers::pi / frequency;
  const double context = rope.original_max_positions;
  if (wavelength > context / rope.low_freq_factor) return frequency / rope.factor;
  if (wavelength < context / rope.high_freq_factor) return frequency;
  const double smooth = (context / wavelength - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor);
  return (1.0 - smooth) * frequency / rope.factor + smooth * frequency;
}

}  // namespace

std::vector<float> rope_frequencies(const RopeConfig& rope, int head_dim) {
  CHECK(head_dim > 0 && head_dim % 2 == 0);
  std::vector<float> frequencies(static_cast<std::size_t>(head_dim / 2));
  for (int i = 0; i < head_dim / 2; ++i) {
    const double frequency = std::pow(rope.theta, -2.0 * i / head_dim);
    double scaled = frequency;
    switch (rope.kind) {
      case RopeConfig::Kind::kDefault: break;
      case RopeConfig::Kind::kLinear: scaled = frequency / rope.factor; break;
      case RopeConfig::Kind::kLlama3: scaled = llama3_frequency(rope, frequency); break;
    }
    frequencies[static_cast<std::size_t>(i)] = static_cast<float>(scaled);
  }
  return frequencies;
}

std::vector<float> make_rope_table(const RopeConfig& rope, int head_dim, int max_positions) {
  CHECK(max_positions >= 0);
  const std::vector<float> frequencies = rope_frequencies(rope, head_dim);
  std::vector<float> table;
  table.reserve(static_cast<std::size_t>(max_positions) * frequencies.size() * 2);
  // Sine and cosine themselves are taken in double: rounded to float, they do not depend on the C library.
  for (int position = 0; position < max_positions; ++position) {
    const auto at = static_cast<float>(position);
    for (const float f : frequencies) table.push_back(static_cast<float>(std::cos(double{at * f})));
    for (const float f : frequencies) table.push_back(static_cast<float>(std::sin(double{at * f})));
  }
  return table;
}

}  // namespace jigsaw
