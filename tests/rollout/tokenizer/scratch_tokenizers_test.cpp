// The tokenizers of policies trained from scratch.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/rollout/tokenizer/tokenizer_testing.h"

namespace jigsaw {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::loaded;
using testing::TokenizerFolder;

TEST(ByteTokenizerTest, IdsAreBytesAndThenPadBosEos) {
  const auto tokenizer = make_byte_tokenizer();
  EXPECT_EQ(tokenizer->vocab_size(), 259);
  for (int byte = 0; byte < 256; ++byte) {
    EXPECT_EQ(tokenizer->token_bytes(byte), std::string(1, static_cast<char>(byte)));
  }
  EXPECT_THAT(tokenizer->encode("a \n\u00e9"), ElementsAre('a', ' ', '\n', 0xC3, 0xA9));
  EXPECT_THAT(tokenizer->encode("<pad><bos>x<eos>"), ElementsAre(256, 257, 'x', 258));
  EXPECT_THAT(tokenizer->eos_tokens(), ElementsAre(258));
}

TEST(CharacterTokenizerTest, IdsAreThePlacesInTheAlphabet) {
  const auto tokenizer = make_character_tokenizer("ab \u00e9\n\U0001F600\"\\");
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message();
  EXPECT_EQ((*tokenizer)->vocab_size(), 11);
  EXPECT_THAT((*tokenizer)->encode("b\u00e9 \U0001F600z\n\"\\<eos>"), ElementsAre(1, 3, 2, 5, 4, 6, 7, 10));
  EXPECT_EQ(*(*tokenizer)->decode(std::vector<TokenId>{1, 3, 2, 5, 4, 10}), "b\u00e9 \U0001F600\n<eos>");
  EXPECT_THAT((*tokenizer)->eos_tokens(), ElementsAre(10));
}

TEST(CharacterTokenizerTest, RefusesAlphabetsThatAreNone) {
  for (const auto& [alphabet, part] :
       {std::pair("", "empty"), std::pair("aba", "'a' twice"), std::pair("a\xFF", "UTF-8")}) {
    const auto tokenizer = make_character_tokenizer(alphabet);
    ASSERT_FALSE(tokenizer.ok());
    EXPECT_THAT(tokenizer.error().message(), HasSubstr(part));
  }
}

TEST(ScratchTokenizersTest, SavedOnesAreReadBack) {
  const auto characters = make_character_tokenizer("abc\u00e9 ");
  ASSERT_TRUE(characters.ok());
  const auto bytes = make_byte_tokenizer();
  for (const Tokenizer* tokenizer : {characters->get(), bytes.get()}) {
    const TokenizerFolder folder;
    ASSERT_TRUE(tokenizer->save(folder.path()).ok());
    const auto copy = loaded(folder.path());
    EXPECT_EQ(copy->vocab_size(), tokenizer->vocab_size());
    EXPECT_EQ(copy->eos_tokens(), tokenizer->eos_tokens());
    const std::string text = "a\u00e9 cab<eos>";
    EXPECT_EQ(copy->encode(text), tokenizer->encode(text));
    EXPECT_EQ(*copy->decode(copy->encode(text)), text);
  }
}

TEST(ScratchTokenizersTest, HaveNoChatTemplate) {
  const auto prompt = make_byte_tokenizer()->apply_chat_template(std::vector<ChatMessage>{{"user", "hi"}});
  ASSERT_FALSE(prompt.ok());
  EXPECT_EQ(prompt.error().code(), ErrorCode::kNotFound);
}

TEST(PlainTextTest, WhatReadsLikeAnAddedTokenIsItsCharacters) {
  const auto bytes = make_byte_tokenizer();
  const std::string text = "a<eos>\xff";
  EXPECT_EQ(bytes->encode("a<eos>").size(), 2u);
  std::vector<TokenId> expected = bytes->encode("a");
  for (const char c : std::string("<eos>\xef\xbf\xbd")) expected.push_back(static_cast<unsigned char>(c));
  EXPECT_EQ(bytes->encode_plain(text), expected);
  EXPECT_EQ(bytes->encode_plain("plain text"), bytes->encode("plain text"));
  const auto characters = std::move(make_character_tokenizer("<aeos")).value();
  EXPECT_EQ(characters->decode(characters->encode_plain("a<eos>")).value(), "a<eos");
}

}  // namespace
}  // namespace jigsaw
