#include "rollout/tokenizer/regex.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "rollout/tokenizer/pattern_rewrite.h"

namespace jigsaw {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::string> found(std::string_view pattern, std::string_view text) {
  const auto regex = Regex::create(pattern);
  CHECK_MSG(regex.ok(), regex.error().message());
  std::vector<Regex::Match> matches;
  regex->find_all(text, matches);
  std::vector<std::string> texts;
  for (const auto& match : matches) texts.emplace_back(text.substr(match.begin, match.end - match.begin));
  return texts;
}

TEST(RegexTest, SpaceIsUnicodeWhiteSpace) {
  EXPECT_THAT(found(R"(\s)", "a\u0085b\u180e\u200b\u2028\x1c \v"), ElementsAre("\u0085", "\u2028", " ", "\v"));
  EXPECT_THAT(found(R"([^\S\n]+)", " \t\n\u3000a"), ElementsAre(" \t", "\u3000"));
  EXPECT_THAT(found(R"(\s+(?!\S))", "a   b  "), ElementsAre("  ", "  "));
}

TEST(RegexTest, ClassesAreThoseOfTheTokenizersLibrary) {
  EXPECT_THAT(found(R"(\p{L}+)", "a\u1c8a\U00016d43!"), ElementsAre("a\u1c8a\U00016d43"));  // the last two: Unicode 16
  EXPECT_THAT(found(R"(\p{N})", "\u00bd\u2167\U00010d41"), ElementsAre("\u00bd", "\u2167", "\U00010d41"));
  EXPECT_THAT(found(R"(\w+)", "a_\u24b6\u0301 \u00b2\u2070"), ElementsAre("a_\u24b6\u0301", "\u00b2"));
  EXPECT_THAT(found(R"([\w]|\W)", "\u00b2"), ElementsAre());  // as Oniguruma has it
  EXPECT_THAT(found(R"(\p{Han}+)", "\u6f22\u30fc\U0002ebf0"), ElementsAre("\u6f22", "\U0002ebf0"));  // not U+30FC
  EXPECT_THAT(found(R"(\p{^L}|\P{^N})", "a1"), ElementsAre("1"));
  EXPECT_THAT(found(R"(\p{Letter}\p{Decimal_Number}?)", "a"), ElementsAre("a"));
}

TEST(RegexTest, IgnoresCaseAsUnicodeDoes) {
  EXPECT_THAT(found("(?i:'s|'ll)", "'S'\u017f'lL's"), ElementsAre("'S", "'\u017f", "'lL", "'s"));
}

TEST(RegexTest, FindsNoEmptyMatchBehindAMatch) {
  EXPECT_THAT(found("a*", "baa\u00e9"), ElementsAre("", "aa", ""));  // at 0, at 1, and at the end
}

TEST(RegexTest, RubysSyntax) {
  EXPECT_THAT(found("^b$", "a\nb\nc"), ElementsAre("b"));
  EXPECT_THAT(found(R"(a{,2}b)", "aaab"), ElementsAre("aab"));
  EXPECT_THAT(found(R"({a}|a{)", "{a}a{"), ElementsAre("{a}", "a{"));
  EXPECT_THAT(found(R"(\u0041\x42\x{43}\v)", "ABC\v"), ElementsAre("ABC\v"));
  EXPECT_THAT(found(R"((a|b)++[\]\-x])", "ab-"), ElementsAre("ab-"));
}

TEST(RegexTest, ARunLongerThanTheStackIsMatched) {
  const std::string text = std::string(300'000, ' ') + "x";
  const auto texts = found(R"(\s*[\r\n]+|(?: |\t)+(?!\S)|\s+)", text);
  ASSERT_EQ(texts.size(), 2u);
  EXPECT_EQ(texts[0].size(), 299'999u);
}

TEST(RegexTest, TooManyStepsEndTheSearch) {
  EXPECT_THAT(found("(?:a+)+(?:a+)+b|c", "c" + std::string(60, 'a')), ElementsAre("c"));
}

TEST(RegexTest, RefusesWhatItDoesNotKnow) {
  const std::pair<const char*, const char*> cases[] = {
      {R"(\bword)", R"(\b)"},       {R"((a)\1)", R"(\1)"},     {"[a[b]]", "class inside a class"},
      {"[a&&b]", "intersection"},   {"(?<name>a)", "group"},   {"a{2}+", "interval"},
      {R"(\p{Nonsense})", "PCRE2"}, {"(a", "PCRE2"},           {R"(\h)", R"(\h)"},
      {"a\\", "backslash"},         {"[a", "class"},           {R"([\W])", R"(\W)"},
      {R"(\xe9)", "byte"},          {"(*UTF)", "group"},       {R"(\p{L)", "property"},
      {R"(\u12)", "malformed"},     {R"(\x{110000})", "PCRE2"}};
  for (const auto& [pattern, part] : cases) {
    const auto regex = Regex::create(pattern);
    ASSERT_FALSE(regex.ok()) << pattern;
    EXPECT_EQ(regex.error().code(), ErrorCode::kUnsupported) << pattern;
    EXPECT_THAT(regex.error().message(), HasSubstr(part)) << pattern;
  }
  EXPECT_FALSE(Regex::create(std::string(100'000, 'a')).ok());
  EXPECT_FALSE(Regex::create(std::string(10'000, '(') + std::string(10'000, ')')).ok());
}

}  // namespace
}  // namespace jigsaw
