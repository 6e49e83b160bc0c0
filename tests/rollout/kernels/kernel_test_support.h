// What the kernel tests share: reproducible numbers, comparisons of bits, and runs under every variant of this CPU.
#pragma once

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "rollout/kernels/kernels.h"

namespace jigsaw::kernels {

using Floats = std::vector<float>;

// Sets what a buffer holds before a kernel writes it, so that leftovers show.
inline constexpr float kUntouched = 12345.0f;

inline Floats random_floats(std::size_t count, std::uint32_t seed, float scale = 1.0f) {
  std::mt19937 generator(seed);
  Floats values(count);
  for (float& value : values) {
    value = scale * (static_cast<float>(generator() >> 8) * 0x1p-23f - 1.0f);  // uniform in [-scale, scale)
  }
  return values;
}

inline std::vector<std::string> variants_of_this_cpu() {
  std::vector<std::string> names;
  const std::string at_start(variant_name());
  for (const char* name : {"avx512", "avx2", "portable"}) {
    if (select_variant(name)) names.emplace_back(name);
  }
  select_variant(at_start);
  return names;
}

// Restores the variant at the end of a test.
class VariantTest : public ::testing::Test {
 protected:
  void TearDown() override { ASSERT_TRUE(select_variant(at_start_)); }

 private:
  std::string at_start_{variant_name()};
};

inline ::testing::AssertionResult bits_equal(const Floats& a, const Floats& b) {
  if (a.size() != b.size()) return ::testing::AssertionFailure() << "sizes " << a.size() << " and " << b.size();
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (std::bit_cast<std::uint32_t>(a[i]) != std::bit_cast<std::uint32_t>(b[i])) {
      return ::testing::AssertionFailure() << "at " << i << ": " << std::hexfloat << a[i] << " and " << b[i];
    }
  }
  return ::testing::AssertionSuccess();
}

// |a - b| <= tolerance * (1 + |b|) everywhere.
inline ::testing::AssertionResult close(const Floats& a, const std::vector<double>& b, double tolerance) {
  if (a.size() != b.size()) return ::testing::AssertionFailure() << "sizes " << a.size() << " and " << b.size();
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (!(std::abs(static_cast<double>(a[i]) - b[i]) <= tolerance * (1 + std::abs(b[i])))) {
      return ::testing::AssertionFailure() << "at " << i << ": " << a[i] << ", expected " << b[i];
    }
  }
  return ::testing::AssertionSuccess();
}

inline std::vector<double> to_double(const Floats& values) { return {values.begin(), values.end()}; }

// The result of `compute`, after checking that every variant and 1, 2 and 3 threads give its very bits.
inline Floats same_bits_everywhere(const std::function<Floats(Lane&)>& compute) {
  const std::string at_start(variant_name());
  Floats expected;
  for (const std::string& variant : variants_of_this_cpu()) {
    EXPECT_TRUE(select_variant(variant));
    for (int threads : {1, 2, 3}) {
      if (variant == "portable" && threads == 2) continue;  // slow
      Lane lane(threads);
      const Floats result = compute(lane);
      if (expected.empty()) expected = result;
      EXPECT_TRUE(bits_equal(result, expected)) << variant << " with " << threads << " threads";
    }
  }
  select_variant(at_start);
  return expected;
}

}  // namespace jigsaw::kernels
