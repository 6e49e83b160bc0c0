#include "rollout/tokenizer/utf8.h"

#include <gtest/gtest.h>

#include "core/utf8.h"
#include "rollout/tokenizer/byte_symbols.h"
#include "rollout/tokenizer/nfc.h"

namespace jigsaw {
namespace {

constexpr const char* kReplacement = "\xEF\xBF\xBD";

// {"a\x80", "aR"}: R stands for U+FFFD. What Python's bytes.decode(errors="replace") gives.
struct Replaced {
  std::string bytes;
  std::string expected;
};

TEST(ReplaceInvalidUtf8Test, EachMaximalInvalidPartBecomesOneReplacement) {
  const Replaced cases[] = {
      {"", ""},
      {"plain \xC3\xA9 \xF0\x9F\x98\x80", "plain \xC3\xA9 \xF0\x9F\x98\x80"},
      {"a\x80z", "aRz"},                          // a continuation byte alone
      {"\x80\x80", "RR"},                         //
      {"\xC0\xAF", "RR"},                         // overlong
      {"\xE0\x80\xAF", "RRR"},                    //
      {"\xE2\x82", "R"},                          // cut off at the end
      {"\xE2\x82z", "Rz"},                        // and in the middle
      {"\xF0\x9F\x98z\xF0\x9Fz\xF0z", "RzRzRz"},  //
      {"\xED\xA0\x80", "RRR"},                    // a surrogate
      {"\xF4\x90\x80\x80", "RRRR"},               // above U+10FFFF
      {"\xF5\xFF", "RR"},                         //
      {"\xE2\x82\xE2\x82\xAC", "R\xE2\x82\xAC"},  // an invalid part right before a valid one
  };
  for (const Replaced& one : cases) {
    std::string expected;
    for (const char c : one.expected) expected += c == 'R' ? kReplacement : std::string(1, c);
    EXPECT_EQ(replace_invalid_utf8(one.bytes), expected);
  }
}

TEST(CodePointTest, AllScalarValuesAreReadAsTheyWereWritten) {
  for (char32_t value = 0; value <= 0x10FFFF; value = value == 0xD7FF ? 0xE000 : value + 1) {
    std::string text = "x";
    append_utf8(value, text);
    const DecodedCodePoint at = code_point_at(text, 1), before = code_point_before(text, text.size());
    ASSERT_EQ(at.value, value);
    ASSERT_EQ(before.value, value);
    ASSERT_EQ(static_cast<std::size_t>(at.num_bytes), text.size() - 1);
    ASSERT_EQ(replace_invalid_utf8(text), text);
  }
}

TEST(CharacterClassTest, WhiteSpaceIsUnicodes) {
  for (const char32_t in :
       {0x09, 0x0D, 0x20, 0x85, 0xA0, 0x1680, 0x2000, 0x200A, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000}) {
    EXPECT_TRUE(is_white_space(in)) << std::hex << static_cast<int>(in);
  }
  for (const char32_t out : {0x08, 0x0E, 0x1C, 0x1F, 0x180E, 0x200B, 0x2060, 0xFEFF}) {
    EXPECT_FALSE(is_white_space(out)) << std::hex << static_cast<int>(out);
  }
}

TEST(CharacterClassTest, NumericIsCategoryN) {
  for (const int in : {0x30, 0x39, 0xB2, 0xBD, 0x0661, 0x0663, 0x2167, 0x3007, 0x1D7D8, 0x11DE0}) {
    EXPECT_TRUE(is_numeric(static_cast<char32_t>(in))) << std::hex << in;
  }
  for (const int out : {0x61, 0x2F, 0x3A, 0x4E00, 0x2C00}) {
    EXPECT_FALSE(is_numeric(static_cast<char32_t>(out))) << std::hex << out;
  }
}

TEST(ByteSymbolsTest, AllBytesGoThereAndBack) {
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes += static_cast<char>(i);
  EXPECT_EQ(bytes_of_symbols(symbols_of_bytes(bytes)), bytes);
  EXPECT_EQ(symbols_of_bytes(" \n!\xAD"), "\u0120\u010A!\u0143");
  EXPECT_FALSE(bytes_of_symbols("a b"));  // the space stands for no byte
}

TEST(NfcTest, ComposesAsUnicodeSays) {
  EXPECT_EQ(to_nfc("e\u0301"), "\u00e9");
  EXPECT_EQ(to_nfc("\u212b"), "\u00c5");
  EXPECT_EQ(to_nfc("s\u0323\u0307"), "\u1e69");
  EXPECT_EQ(to_nfc("s\u0307\u0323"), "\u1e69");  // marks change places first
  EXPECT_EQ(to_nfc("\u1100\u1161\u11a8"), "\uac01");
  EXPECT_EQ(to_nfc("\u0958"), "\u0915\u093c");  // excluded from composition
  EXPECT_EQ(to_nfc("a\u0301\u00e9 \u0301"), "\u00e1\u00e9 \u0301");
  // U+1133B is a mark in Unicode 11, and unknown in Unicode 9, as the tokenizers library has it.
  EXPECT_EQ(to_nfc("a\u0301\U0001133B\u0323"), "\u00e1\U0001133B\u0323");
}

TEST(NfcTest, WhatMayNotChangeDoesNot) {
  std::string below;
  for (char32_t value = 0; value < 0x300; ++value) append_utf8(value, below);
  EXPECT_FALSE(may_change_in_nfc(below));
  EXPECT_EQ(to_nfc(below), below);
  EXPECT_TRUE(may_change_in_nfc("e\u0301"));
}

}  // namespace
}  // namespace jigsaw
