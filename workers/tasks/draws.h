// The random choices behind one prompt: draw n is a pure function of (key, prompt index, n), see core/philox.h.
#pragma once

#include <cstdint>

#include "core/check.h"
#include "core/philox.h"

namespace jigsaw {

class Draws {
 public:
  Draws(std::uint64_t key, std::uint64_t index) : key_(key), index_(index) {}

  // Uniform in [low, high]. Values that would bring a bias are drawn again.
  std::int64_t between(std::int64_t low, std::int64_t high) {
    CHECK(low <= high);
    const std::uint64_t count = static_cast<std::uint64_t>(high) - static_cast<std::uint64_t>(low) + 1;
    if (count == 0) return static_cast<std::int64_t>(bits());  // the whole range of 64 bits
    const std::uint64_t surplus = (0 - count) % count;         // 2^64 mod count
    std::uint64_t drawn = bits();
    while (drawn < surplus) drawn = bits();
    return static_cast<std::int64_t>(static_cast<std::uint64_t>(low) + drawn % count);
  }

 private:
  std::uint64_t bits() {
    const PhiloxBlock block = philox(key_, index_, next_++);
    return std::uint64_t{block[0]} << 32 | block[1];
  }

  std::uint64_t key_, index_;
  std::uint64_t next_ = 0;
};

}  // namespace jigsaw
