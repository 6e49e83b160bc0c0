// Arithmetic as a countdown player writes it, evaluated in exact fractions. Pure; any bytes are safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace jigsaw {

// numerator / denominator in lowest terms, denominator > 0.
struct Fraction {
  std::int64_t numerator = 0, denominator = 1;
  bool operator==(const Fraction&) const = default;
};

struct Expression {
  Fraction value;
  std::vector<std::int64_t> numbers;  // in the order in which they stand
};

// Whole numbers, + - * / (also U+00D7, U+00F7 and U+2212), parentheses and white space. Empty where that is not what
// `text` is, for a division by zero, and where 64 bits, 512 bytes or 64 parentheses do not suffice.
std::optional<Expression> parse_expression(std::string_view text);

}  // namespace jigsaw
