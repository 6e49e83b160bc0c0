#include "workers/rewards/decimal.h"

#include <algorithm>

namespace jigsaw {
namespace {

constexpr std::string_view kUnicodeMinus = "\xE2\x88\x92";

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || static_cast<unsigned char>(c) >= 0x80;
}

std::size_t num_digits_at(std::string_view text, std::size_t at) {
  std::size_t end = at;
  while (end < text.size() && is_digit(text[end])) ++end;
  return end - at;
}

bool has_minus_before(std::string_view text, std::size_t begin) {
  std::string_view before = text.substr(0, begin);
  if (before.ends_with('$')) before.remove_suffix(1);
  if (before.ends_with('-')) {
    before.remove_suffix(1);
  } else if (before.ends_with(kUnicodeMinus)) {
    before.remove_suffix(kUnicodeMinus.size());
  } else {
    return false;
  }
  return before.empty() || !(is_digit(before.back()) || is_letter(before.back()) || before.back() == ')' ||
                             before.back() == ']' || before.back() == '}');
}

// Reads the integer part at `at` into `digits`: groups of three after commas, or plain digits. Returns where it ends.
std::size_t read_integer(std::string_view text, std::size_t at, std::string& digits) {
  std::size_t size = num_digits_at(text, at);
  digits.append(text, at, size);
  at += size;
  if (size == 0 || size > 3) return at;
  std::size_t end = at;
  std::string groups;
  while (end < text.size() && text[end] == ',' && num_digits_at(text, end + 1) == 3) {
    groups.append(text, end + 1, 3);
    end += 4;
  }
  // 1,2345 is no grouping, and neither is 1,234,5.
  const bool goes_on = end < text.size() && text[end] == ',' && num_digits_at(text, end + 1) > 0;
  if (goes_on) return at;
  digits += groups;
  return end;
}

Decimal normalised(bool negative, std::string digits, std::int64_t exponent) {
  while (!digits.empty() && digits.back() == '0') {
    digits.pop_back();
    ++exponent;
  }
  digits.erase(0, std::min(digits.find_first_not_of('0'), digits.size()));
  if (digits.empty()) return {};
  return {negative, std::move(digits), exponent};
}

}  // namespace

std::optional<Decimal> last_number(std::string_view text) {
  std::optional<Decimal> last;
  for (std::size_t at = 0; at < text.size();) {
    const bool starts_with_point =
        text[at] == '.' && num_digits_at(text, at + 1) > 0 && (at == 0 || !is_digit(text[at - 1]));
    if (!is_digit(text[at]) && !starts_with_point) {
      ++at;
      continue;
    }
    const bool negative = has_minus_before(text, at);
    std::string digits;
    std::int64_t exponent = 0;
    at = read_integer(text, at, digits);
    if (at < text.size() && text[at] == '.') {
      if (const std::size_t size = num_digits_at(text, at + 1); size > 0) {
        digits.append(text, at + 1, size);
        exponent = -static_cast<std::int64_t>(size);
        at += 1 + size;
      }
    }
    if (at < text.size() && (text[at] == 'e' || text[at] == 'E')) {
      const bool has_sign = at + 1 < text.size() && (text[at + 1] == '-' || text[at + 1] == '+');
      const std::size_t begin = at + 1 + has_sign, size = num_digits_at(text, begin);
      if (size >= 1 && size <= 4 && (begin + size == text.size() || !is_letter(text[begin + size]))) {
        const std::int64_t power = std::stoi(std::string(text.substr(begin, size)));
        exponent += text[at + 1] == '-' ? -power : power;
        at = begin + size;
      }
    }
    last = normalised(negative, std::move(digits), exponent);
  }
  return last;
}

}  // namespace jigsaw
