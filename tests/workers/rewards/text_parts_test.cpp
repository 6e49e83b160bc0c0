// The pieces that rewards read completions with.
#include <gtest/gtest.h>

#include <random>

#include "core/in_quotes.h"
#include "core/utf8.h"
#include "workers/rewards/decimal.h"
#include "workers/rewards/expression.h"
#include "workers/rewards/search_pattern.h"

namespace jigsaw {
namespace {

std::string number_in(const std::string& text) {
  const auto number = last_number(text);
  if (!number) return "none";
  return (number->negative ? "-" : "") + (number->digits.empty() ? "0" : number->digits) + "e" +
         std::to_string(number->exponent);
}

TEST(DecimalTest, HandValues) {
  EXPECT_EQ(number_in("72"), "72e0");
  EXPECT_EQ(number_in("7200"), "72e2");
  EXPECT_EQ(number_in("007.250"), "725e-2");
  EXPECT_EQ(number_in("0.00"), "0e0");
  EXPECT_EQ(number_in("-0"), "0e0");
  EXPECT_EQ(number_in(".5"), "5e-1");
  EXPECT_EQ(number_in("x = -3."), "-3e0");
  EXPECT_EQ(number_in("5-3"), "3e0");
  EXPECT_EQ(number_in("(5)-3"), "3e0");
  EXPECT_EQ(number_in("5 - 3"), "3e0");
  EXPECT_EQ(number_in("5 -3"), "-3e0");
  EXPECT_EQ(number_in("\xE2\x88\x92"
                      "3"),
            "-3e0");
  EXPECT_EQ(number_in("-$12"), "-12e0");
  EXPECT_EQ(number_in("GPT-4"), "4e0");
  EXPECT_EQ(number_in("1,234,567"), "1234567e0");
  EXPECT_EQ(number_in("1,234,567.5 m"), "12345675e-1");
  EXPECT_EQ(number_in("12,34"), "34e0");
  EXPECT_EQ(number_in("1,2345"), "2345e0");
  EXPECT_EQ(number_in("1234,567"), "567e0");
  EXPECT_EQ(number_in("3, 4"), "4e0");
  EXPECT_EQ(number_in("6.02e23"), "602e21");
  EXPECT_EQ(number_in("1E-3"), "1e-3");
  EXPECT_EQ(number_in("2eggs"), "2e0");
  EXPECT_EQ(number_in("3e4x"), "4e0");
  EXPECT_EQ(number_in("none at all."), "none");
  EXPECT_EQ(number_in(""), "none");
  EXPECT_EQ(number_in("50%"), "5e1");
}

TEST(ExpressionTest, HandValues) {
  const auto value_of = [](const std::string& text) -> std::string {
    const auto expression = parse_expression(text);
    if (!expression) return "none";
    return std::to_string(expression->value.numerator) + "/" + std::to_string(expression->value.denominator);
  };
  EXPECT_EQ(value_of("1+2*3"), "7/1");
  EXPECT_EQ(value_of("(1+2)*3"), "9/1");
  EXPECT_EQ(value_of("8-3-2"), "3/1");
  EXPECT_EQ(value_of("8/4/2"), "1/1");
  EXPECT_EQ(value_of("8/(4/2)"), "4/1");
  EXPECT_EQ(value_of("1/3+1/6"), "1/2");
  EXPECT_EQ(value_of("2-5"), "-3/1");
  EXPECT_EQ(value_of("1/(2-5)"), "-1/3");
  EXPECT_EQ(value_of("0/5"), "0/1");
  EXPECT_EQ(value_of(" ( 6 \xC3\xB7 3 )\n"), "2/1");
  for (const char* bad : {"", "-1", "1+", "1 2", "()", "(1", "1)", "1..2", "a", "1+-2", "1/0", "1/(2-2)", "1e3", "2^3",
                          "9999999999999999999", "9223372036854775807+1", "4611686018427387904*2*2"}) {
    EXPECT_EQ(value_of(bad), "none") << bad;
  }
  EXPECT_EQ(value_of(std::string(60, '(') + "1" + std::string(60, ')')), "1/1");
  EXPECT_EQ(value_of(std::string(200, '(') + "1" + std::string(200, ')')), "none");
  EXPECT_EQ(value_of(std::string(100000, '(')), "none");
  EXPECT_EQ(parse_expression("3*(5-2)")->numbers, (std::vector<std::int64_t>{3, 5, 2}));
}

// Random bytes out of the characters that matter to the parsers: nothing may crash (the sanitizers look on).
TEST(TextPartsTest, AnyBytesAreSafe) {
  std::mt19937 random(3);
  const std::string characters = "0123456789.,-+eE$()*/= \n\xE2\x88\x92\xC3\x97\xff";
  const SearchPattern pattern = std::move(*SearchPattern::create("([0-9]+).", {}));
  int num_numbers = 0, num_expressions = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string text(random() % 12, ' ');
    for (char& c : text) c = characters[random() % characters.size()];
    num_numbers += last_number(text).has_value();
    num_expressions += parse_expression(text).has_value();
    EXPECT_TRUE(pattern.last_capture(text).ok());
    EXPECT_TRUE(utf8_is_well_formed(in_quotes(text)));
  }
  EXPECT_GT(num_numbers, 10000);
  EXPECT_GT(num_expressions, 500);
}

}  // namespace
}  // namespace jigsaw
