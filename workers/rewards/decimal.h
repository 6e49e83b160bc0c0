// Numbers as people write them, compared exactly: no rounding through floating point. Pure; any bytes are safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace jigsaw {

// digits * 10^exponent, in the one form without zeros at either end; zero has no digits, exponent 0 and no sign. So two
// are equal if and only if the numbers are.
struct Decimal {
  bool negative = false;
  std::string digits;
  std::int64_t exponent = 0;
  bool operator==(const Decimal&) const = default;
};

// The last number in a text: 72, -0.5, .5, 1,234.50 (commas between groups of three), 3e-2. A minus (or U+2212) counts
// as a sign unless a letter, digit or bracket stands before it, as in 5-3; a $ may stand between. A full stop after the
// number is not part of it.
std::optional<Decimal> last_number(std::string_view text);

}  // namespace jigsaw
