// What single fields of a tokenizer.json do.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/rollout/tokenizer/tokenizer_testing.h"

namespace jigsaw {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::load_json;
using testing::small_byte_level_json;
using testing::small_tokenizer_json;
using testing::token_texts;

// The pieces that text is cut into, if none is longer than two characters: any two are one token.
std::vector<std::string> pieces(const json& pre_tokenizer, const std::string& text) {
  json document = small_tokenizer_json();
  document["pre_tokenizer"] = pre_tokenizer;
  document["added_tokens"] = json::array();
  const std::vector<std::string> characters{"a", "b", "-", "c", "1"};
  json vocab, merges = json::array();
  for (const std::string& left : characters) vocab[left] = vocab.size();
  for (const std::string& left : characters) {
    for (const std::string& right : characters) {
      vocab[left + right] = vocab.size();
      merges.push_back(json::array({left, right}));
    }
  }
  document["model"]["vocab"] = vocab;
  document["model"]["merges"] = merges;
  const auto tokenizer = load_json(document);
  CHECK_MSG(tokenizer.ok(), tokenizer.error().message());
  return token_texts(**tokenizer, text);
}

json split(const char* behavior, bool invert = false) {
  return {{"type", "Split"}, {"pattern", {{"String", "-"}}}, {"behavior", behavior}, {"invert", invert}};
}

TEST(SplitTest, Behaviours) {
  EXPECT_THAT(pieces(split("Removed"), "a-b--c"), ElementsAre("a", "b", "c"));
  EXPECT_THAT(pieces(split("Isolated"), "a-b--c"), ElementsAre("a", "-", "b", "-", "-", "c"));
  EXPECT_THAT(pieces(split("MergedWithPrevious"), "a-b--c"), ElementsAre("a-", "b-", "-", "c"));
  EXPECT_THAT(pieces(split("MergedWithNext"), "a-b--c"), ElementsAre("a", "-b", "-", "-c"));
  EXPECT_THAT(pieces(split("Contiguous"), "a-b--c"), ElementsAre("a", "-", "b", "--", "c"));
  EXPECT_THAT(pieces(split("Removed", /*invert=*/true), "a-b--c"), ElementsAre("-", "-", "-"));
  EXPECT_THAT(pieces(split("MergedWithNext"), "ab-"), ElementsAre("ab", "-"));
}

TEST(DigitsTest, SingleOrInRuns) {
  EXPECT_THAT(pieces({{"type", "Digits"}, {"individual_digits", true}}, "a11b"), ElementsAre("a", "1", "1", "b"));
  EXPECT_THAT(pieces({{"type", "Digits"}, {"individual_digits", false}}, "a11b"), ElementsAre("a", "11", "b"));
}

TEST(MergesTest, LowestRankFirstThenLeftmost) {
  json document = small_tokenizer_json();
  document["model"]["vocab"] = {{"a", 0}, {"b", 1}, {"aa", 2}, {"ab", 3}, {"aab", 4}};
  document["added_tokens"] = json::array();
  document["model"]["merges"] = json::array({json::array({"a", "a"}), json::array({"a", "b"})});
  EXPECT_THAT(token_texts(**load_json(document), "aaab"), ElementsAre("aa", "ab"));
  document["model"]["merges"] =
      json::array({json::array({"a", "b"}), json::array({"a", "a"}), json::array({"a", "ab"})});
  EXPECT_THAT(token_texts(**load_json(document), "aaab"), ElementsAre("aa", "ab"));
  document["model"]["merges"] =
      json::array({json::array({"a", "b"}), json::array({"a", "ab"}), json::array({"a", "a"})});
  EXPECT_THAT(token_texts(**load_json(document), "aaab"), ElementsAre("a", "aab"));
}

TEST(MergesTest, BothSpellingsMeanTheSame) {
  json document = small_tokenizer_json();
  EXPECT_THAT(token_texts(**load_json(document), "abcab"), ElementsAre("abc", "ab"));
  document["model"]["merges"] = json::array({json::array({"a", "b"}), json::array({"ab", "c"})});
  EXPECT_THAT(token_texts(**load_json(document), "abcab"), ElementsAre("abc", "ab"));
  document["model"]["merges"] = {"#version: 0.2", "a b", "ab c"};
  EXPECT_THAT(token_texts(**load_json(document), "abcab"), ElementsAre("abc", "ab"));
}

TEST(MergesTest, IgnoreMergesTakesAWholePieceOnly) {
  json document = small_tokenizer_json();
  document["model"]["merges"] = json::array();
  EXPECT_THAT(token_texts(**load_json(document), "abc"), ElementsAre("a", "b", "c"));
  document["model"]["ignore_merges"] = true;
  EXPECT_THAT(token_texts(**load_json(document), "abc"), ElementsAre("abc"));
  EXPECT_THAT(token_texts(**load_json(document), "abca"), ElementsAre("a", "b", "c", "a"));
}

TEST(UnknownTest, DroppedOrOneTokenOrOneForARun) {
  json document = small_tokenizer_json();
  EXPECT_THAT(token_texts(**load_json(document), "zazz"), ElementsAre("a"));
  document["model"]["unk_token"] = "c";
  EXPECT_THAT(token_texts(**load_json(document), "zazz"), ElementsAre("c", "a", "c", "c"));
  document["model"]["fuse_unk"] = true;
  EXPECT_THAT(token_texts(**load_json(document), "zazz"), ElementsAre("c", "a", "c"));
}

TEST(ByteLevelTest, AByteThatIsNotInTheVocabularyIsDropped) {
  EXPECT_THAT(token_texts(**load_json(small_byte_level_json()), "a\u00e9b\nabc"), ElementsAre("ab", "abc"));
}

TEST(ByteLevelTest, PrefixSpaceGoesBeforeEveryStretch) {
  json document = small_byte_level_json();
  document["model"]["vocab"]["\u0120"] = 5;
  document["added_tokens"][0]["id"] = 6;
  document["pre_tokenizer"]["add_prefix_space"] = true;
  EXPECT_THAT(token_texts(**load_json(document), "a<x>b<x> c"),
              ElementsAre(" ", "a", "<x>", " ", "b", "<x>", " ", "c"));
}

TEST(AddedTokensTest, LongestAtTheLeftmostPlace) {
  json document = small_tokenizer_json();
  const auto token = [](int id, const char* content) {
    return json{{"id", id}, {"content", content}, {"normalized", false}, {"special", true}};
  };
  document["added_tokens"] = {token(5, "<a"), token(6, "<ab>"), token(7, "b><")};
  EXPECT_THAT(token_texts(**load_json(document), "<ab><abc<<ab><"), ElementsAre("<ab>", "<a", "b", "c", "<ab>"));
}

TEST(AddedTokensTest, FlagsSeeToWhiteSpaceAndWords) {
  json document = small_tokenizer_json();
  json& token = document["added_tokens"][0];
  document["model"]["vocab"][" "] = 5;
  token["id"] = 6;
  token["lstrip"] = true;
  EXPECT_THAT(token_texts(**load_json(document), "a \u2003<x> b"), ElementsAre("a", "<x>", " ", "b"));
  token["rstrip"] = true;
  EXPECT_THAT(token_texts(**load_json(document), "a <x> \n<x>b"), ElementsAre("a", "<x>", "<x>", "b"));
  token["single_word"] = true;
  token["content"] = "cc";
  EXPECT_THAT(token_texts(**load_json(document), "acc cc cc\u0301"), ElementsAre("a", "c", "c", "cc", "c", "c"));
  EXPECT_THAT(token_texts(**load_json(document), "\u00b2cc\u00b2 cc\u200d"), ElementsAre("cc", " ", "c", "c"));
}

TEST(AddedTokensTest, NormalizedOnesAreSoughtInNormalisedText) {
  json document = small_tokenizer_json();
  document["normalizer"] = {{"type", "Sequence"}, {"normalizers", {{{"type", "NFC"}}}}};
  json& token = document["added_tokens"][0];
  token["content"] = "<e\u0301>";
  EXPECT_EQ((*load_json(document))->encode("a<\u00e9><e\u0301>"), (std::vector<TokenId>{0, 5}));
  token["normalized"] = true;
  EXPECT_EQ((*load_json(document))->encode("a<\u00e9><e\u0301>"), (std::vector<TokenId>{0, 5, 5}));
}

TEST(TokenizerTest, InvalidUtf8IsReplacedBeforeItIsEncoded) {
  const auto bytes = make_byte_tokenizer();
  EXPECT_EQ(bytes->encode("a\xE2\x82z"), bytes->encode("a\uFFFDz"));
}

TEST(TokenizerTest, DecodingJoinsBytesAndReplacesInvalidOnes) {
  const auto bytes = make_byte_tokenizer();
  EXPECT_EQ(*bytes->decode(std::vector<TokenId>{0xE2, 0x82, 0xAC, 0xE2, 0x82, 'z'}), "\u20ac\uFFFDz");
  EXPECT_EQ(bytes->token_bytes(0xE2), "\xE2");
}

TEST(TokenizerTest, IdsOutOfRangeAreErrors) {
  const auto tokenizer = *load_json(small_tokenizer_json());
  EXPECT_EQ(tokenizer->vocab_size(), 6);
  for (const TokenId token : {-1, 6}) {
    const auto text = tokenizer->decode(std::vector{token});
    ASSERT_FALSE(text.ok());
    EXPECT_EQ(text.error().code(), ErrorCode::kInvalidArgument);
    EXPECT_EQ(tokenizer->token_bytes(token), "");
  }
  EXPECT_THAT(tokenizer->encode(""), IsEmpty());
  EXPECT_EQ(*tokenizer->decode({}), "");
}

TEST(TokenizerTest, TokenIdFindsTextsOfTokens) {
  const auto tokenizer = *load_json(small_byte_level_json());
  EXPECT_EQ(tokenizer->token_id("abc"), 4);
  EXPECT_EQ(tokenizer->token_id("<x>"), 5);
  EXPECT_EQ(tokenizer->token_id("ac"), std::nullopt);
  EXPECT_EQ(tokenizer->token_id(""), std::nullopt);
}

}  // namespace
}  // namespace jigsaw
