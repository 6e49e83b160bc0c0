// Counter-based randomness (Philox4x32-10; Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC'11). A draw
// is a pure function of (key, counter), so it depends neither on the order of draws nor on who makes them: this is what
// lets a rollout be moved, batched otherwise or resumed without changing a token.
#pragma once

#include <array>
#include <cstdint>

namespace jigsaw {

using PhiloxBlock = std::array<std::uint32_t, 4>;

constexpr PhiloxBlock philox(std::uint64_t key, std::uint64_t counter_high, std::uint64_t counter_low) {
  std::uint32_t k0 = static_cast<std::uint32_t>(key), k1 = static_cast<std::uint32_t>(key >> 32);
  PhiloxBlock x{static_cast<std::uint32_t>(counter_low), static_cast<std::uint32_t>(counter_low >> 32),
                static_cast<std::uint32_t>(counter_high), static_cast<std::uint32_t>(counter_high >> 32)};
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53u} * x[0], p1 = std::uint64_t{0xCD9E8D57u} * x[2];
    x = {static_cast<std::uint32_t>(p1 >> 32) ^ x[1] ^ k0, static_cast<std::uint32_t>(p1),
         static_cast<std::uint32_t>(p0 >> 32) ^ x[3] ^ k1, static_cast<std::uint32_t>(p0)};
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return x;
}

// Uniform in [0, 1) with 53 random bits.
constexpr double philox_uniform(std::uint64_t key, std::uint64_t counter_high, std::uint64_t counter_low) {
  const PhiloxBlock x = philox(key, counter_high, counter_low);
  const std::uint64_t bits = (std::uint64_t{x[0]} << 32 | x[1]) >> 11;
  return static_cast<double>(bits) * 0x1.0p-53;
}

// A well mixed 64-bit value of (seed, a, b): keys of pipelines, steps and sequences are made with it.
constexpr std::uint64_t philox_key(std::uint64_t seed, std::uint64_t a, std::uint64_t b) {
  const PhiloxBlock x = philox(seed, a, b);
  return std::uint64_t{x[0]} << 32 | x[1];
}

}  // namespace jigsaw
