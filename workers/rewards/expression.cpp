#include "workers/rewards/expression.h"

#include <numeric>

namespace jigsaw {
namespace {

constexpr std::size_t kTextBytesMax = 512;
constexpr int kDepthMax = 64;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::optional<Fraction> reduced(std::int64_t numerator, std::int64_t denominator) {
  // The smallest integer has no positive twin, so it is left out rather than treated apart.
  if (denominator == 0 || numerator == INT64_MIN || denominator == INT64_MIN) return std::nullopt;
  const std::int64_t divisor = std::gcd(numerator, denominator) * (denominator < 0 ? -1 : 1);
  return Fraction{numerator / divisor, denominator / divisor};
}

std::optional<Fraction> applied(const Fraction& a, char operation, const Fraction& b) {
  std::int64_t numerator = 0, denominator = 0, left = 0, right = 0;
  bool overflow = false;
  switch (operation) {
    case '*':
      overflow = __builtin_mul_overflow(a.numerator, b.numerator, &numerator) ||
                 __builtin_mul_overflow(a.denominator, b.denominator, &denominator);
      break;
    case '/':
      overflow = __builtin_mul_overflow(a.numerator, b.denominator, &numerator) ||
                 __builtin_mul_overflow(a.denominator, b.numerator, &denominator);
      break;
    default:
      overflow = __builtin_mul_overflow(a.numerator, b.denominator, &left) ||
                 __builtin_mul_overflow(b.numerator, a.denominator, &right) ||
                 (operation == '+' ? __builtin_add_overflow(left, right, &numerator)
                                   : __builtin_sub_overflow(left, right, &numerator)) ||
                 __builtin_mul_overflow(a.denominator, b.denominator, &denominator);
      break;
  }
  if (overflow) return std::nullopt;
  return reduced(numerator, denominator);
}

// Recursive descent: sum = product {(+|-) product}, product = factor {(*|/) factor}, factor = number | ( sum ).
class Parser {
 public:
  explicit Parser(std::string_view text) : rest_(text) {}

  std::optional<Expression> parse() {
    const auto value = sum(0);
    skip_space();
    if (!value || !rest_.empty()) return std::nullopt;
    return Expression{*value, std::move(numbers_)};
  }

 private:
  void skip_space() {
    while (!rest_.empty() && (rest_.front() == ' ' || (rest_.front() >= '\t' && rest_.front() <= '\r'))) {
      rest_.remove_prefix(1);
    }
  }

  // The operator here, if it is of `kind` ("+-" or "*/"); 0 if it is not.
  char take_operator(std::string_view kind) {
    skip_space();
    struct Spelling {
      std::string_view text;
      char operation;
    };
    constexpr Spelling kSpellings[] = {
        {"+", '+'}, {"-", '-'}, {"*", '*'}, {"/", '/'}, {"\xE2\x88\x92", '-'}, {"\xC3\x97", '*'}, {"\xC3\xB7", '/'}};
    for (const Spelling& spelling : kSpellings) {
      if (kind.find(spelling.operation) != std::string_view::npos && rest_.starts_with(spelling.text)) {
        rest_.remove_prefix(spelling.text.size());
        return spelling.operation;
      }
    }
    return 0;
  }

  std::optional<Fraction> sum(int depth) {
    auto value = product(depth);
    while (value) {
      const char operation = take_operator("+-");
      if (operation == 0) break;
      const auto right = product(depth);
      value = right ? applied(*value, operation, *right) : std::nullopt;
    }
    return value;
  }

  std::optional<Fraction> product(int depth) {
    auto value = factor(depth);
    while (value) {
      const char operation = take_operator("*/");
      if (operation == 0) break;
      const auto right = factor(depth);
      value = right ? applied(*value, operation, *right) : std::nullopt;
    }
    return value;
  }

  std::optional<Fraction> factor(int depth) {
    skip_space();
    if (rest_.empty() || depth > kDepthMax) return std::nullopt;
    if (rest_.front() == '(') {
      rest_.remove_prefix(1);
      const auto value = sum(depth + 1);
      skip_space();
      if (!value || rest_.empty() || rest_.front() != ')') return std::nullopt;
      rest_.remove_prefix(1);
      return value;
    }
    if (!is_digit(rest_.front())) return std::nullopt;
    std::int64_t number = 0;
    while (!rest_.empty() && is_digit(rest_.front())) {
      if (__builtin_mul_overflow(number, std::int64_t{10}, &number) ||
          __builtin_add_overflow(number, std::int64_t{rest_.front() - '0'}, &number)) {
        return std::nullopt;
      }
      rest_.remove_prefix(1);
    }
    numbers_.push_back(number);
    return Fraction{number, 1};
  }

  std::string_view rest_;
  std::vector<std::int64_t> numbers_;
};

}  // namespace

std::optional<Expression> parse_expression(std::string_view text) {
  if (text.size() > kTextBytesMax) return std::nullopt;
  return Parser(text).parse();
}

}  // namespace jigsaw
