// Files that are damaged, inconsistent or of a kind that is not known get an error that names the file and the field.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/philox.h"
#include "tests/rollout/tokenizer/tokenizer_testing.h"

namespace jigsaw {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using testing::load_json;
using testing::small_byte_level_json;
using testing::small_tokenizer_json;
using testing::TokenizerFolder;

void expect_error(const json& document, ErrorCode code, const std::string& part) {
  const auto tokenizer = load_json(document);
  ASSERT_FALSE(tokenizer.ok()) << part;
  EXPECT_EQ(tokenizer.error().code(), code) << tokenizer.error().message();
  EXPECT_THAT(tokenizer.error().message(), HasSubstr("tokenizer.json: "));
  EXPECT_THAT(tokenizer.error().message(), HasSubstr(part));
}

// small_tokenizer_json() with one value replaced.
json with(const char* pointer, json value, json document = small_tokenizer_json()) {
  document[json::json_pointer(pointer)] = std::move(value);
  return document;
}

TEST(HostileTokenizerTest, TheUnchangedFileLoads) {
  EXPECT_TRUE(load_json(small_tokenizer_json()).ok());
  EXPECT_TRUE(load_json(small_byte_level_json()).ok());
}

TEST(HostileTokenizerTest, WhatIsNotKnownHereIsUnsupported) {
  const auto unsupported = [](const char* pointer, json value, const std::string& part) {
    expect_error(with(pointer, std::move(value)), ErrorCode::kUnsupported, part);
  };
  unsupported("/model/type", "WordPiece", "model: type 'WordPiece'");
  unsupported("/model/type", "Unigram", "Unigram");
  unsupported("/model/dropout", 0.1, "model.dropout");
  unsupported("/model/byte_fallback", true, "byte_fallback");
  unsupported("/model/continuing_subword_prefix", "##", "continuing_subword_prefix");
  unsupported("/model/end_of_word_suffix", "</w>", "end_of_word_suffix");
  unsupported("/normalizer", {{"type", "NFKC"}}, "normalizer: type 'NFKC'");
  unsupported("/normalizer", {{"type", "Sequence"}, {"normalizers", {{{"type", "Lowercase"}}}}}, "normalizers[0]");
  unsupported("/pre_tokenizer", {{"type", "Metaspace"}}, "pre_tokenizer: type 'Metaspace'");
  unsupported("/pre_tokenizer",
              {{"type", "Sequence"}, {"pretokenizers", {{{"type", "Digits"}}, {{"type", "Whitespace"}}}}},
              "pre_tokenizer.pretokenizers[1]");
  unsupported("/pre_tokenizer",
              {{"type", "Split"}, {"pattern", {{"Regex", "(a)\\1"}}}, {"behavior", "Isolated"}, {"invert", false}},
              "pre_tokenizer.pattern.Regex");
  unsupported("/decoder", {{"type", "Metaspace"}}, "decoder: type 'Metaspace'");
  unsupported("/decoder", nullptr, "without a decoder");
  unsupported("/version", "2.0", "version '2.0'");
  unsupported("/added_tokens/0/content", std::string(2000, 'x'), "added_tokens[0].content");
}

TEST(HostileTokenizerTest, WhatContradictsItselfIsCorrupt) {
  const auto corrupt = [](const char* pointer, json value, const std::string& part) {
    expect_error(with(pointer, std::move(value)), ErrorCode::kCorrupt, part);
  };
  corrupt("/model/vocab/a", -1, "model.vocab['a']: -1 is not between");
  corrupt("/model/vocab/a", 4'000'000'000'000u, "model.vocab['a']");
  corrupt("/model/vocab/a", 18'446'744'073'709'551'615u, "model.vocab['a']");
  corrupt("/model/vocab/a", 2'000'000, "model.vocab['a']");  // far more ids than tokens
  corrupt("/model/vocab/a", 1.5, "should be a whole number");
  corrupt("/model/vocab/a", 1, "id 1 has two tokens");
  corrupt("/model/vocab/b", "1", "should be a whole number");
  corrupt("/model/vocab", json::array(), "model.vocab: should be an object");
  corrupt("/model/merges", {"a b", "ab d"}, "merge 1 needs the token 'd'");
  corrupt("/model/merges", {"a c"}, "merge 0 needs the token 'ac'");
  corrupt("/model/merges", {"a"}, "merge 0 is neither");
  corrupt("/model/merges", {"a b c"}, "merge 0 is neither");
  corrupt("/model/merges", {{"a", "b", "c"}}, "merge 0 is neither");
  corrupt("/model/merges", json::array({json::array({"a", 1})}), "merge 0 is neither");
  corrupt("/model/merges", json::array({json::array({"a b", 1})}), "merge 0 is neither");
  corrupt("/model/merges", "a b", "model.merges: should be a list");
  corrupt("/model/unk_token", "<unk>", "unk_token '<unk>'");
  corrupt("/model/ignore_merges", "yes", "should be true or false");
  corrupt("/model", 5, "model: should be an object");
  corrupt("/added_tokens/0/id", 17, "added_tokens[0]: the token '<x>' has id 17");
  corrupt("/added_tokens/0/id", -5, "added_tokens[0].id");
  corrupt("/added_tokens/0/content", 5, "added_tokens[0].content: should be a string");
  corrupt("/added_tokens/0", 5, "added_tokens[0]: should be an object");
  corrupt("/added_tokens", "x", "added_tokens: should be a list");
  corrupt("/pre_tokenizer", {{"type", 5}}, "pre_tokenizer.type: should be a string");
  corrupt("/pre_tokenizer", {{"type", "Split"}, {"pattern", {{"String", "x"}}}, {"behavior", "Odd"}},
          "behavior: 'Odd'");
  corrupt("/pre_tokenizer", {{"type", "Split"}, {"pattern", 5}, {"behavior", "Isolated"}},
          "pattern: should be an object");
  corrupt("/pre_tokenizer", {{"type", "Sequence"}}, "pretokenizers");
}

TEST(HostileTokenizerTest, AnAddedTokensIdMayNotBeTakenByTheVocabulary) {
  json document = small_tokenizer_json();
  document["model"]["vocab"]["c"] = 5;  // a hole at 2
  document["added_tokens"][0]["id"] = 5;
  expect_error(document, ErrorCode::kCorrupt, "id 5 is also that of the added token '<x>'");
}

TEST(HostileTokenizerTest, NothingButJsonIsJson) {
  for (const std::string& text : {std::string(), std::string("{"), std::string("\xFF\xFE"), std::string("[]"),
                                  std::string("{\"model\": \"\\ud800\"}"), std::string("nul"), std::string(1000, '\0'),
                                  std::string(1'000'000, '['), "{\"a\":" + std::string(1'000'000, '{')}) {
    const TokenizerFolder folder;
    folder.write("tokenizer.json", text);
    const auto tokenizer = load_tokenizer(folder.path());
    ASSERT_FALSE(tokenizer.ok());
    EXPECT_THAT(tokenizer.error().message(), HasSubstr("tokenizer.json"));
  }
}

TEST(HostileTokenizerTest, EveryCutOffFileIsRefused) {
  const std::string text = small_byte_level_json().dump();
  const TokenizerFolder folder;
  for (std::size_t size = 0; size < text.size(); ++size) {
    folder.write("tokenizer.json", text.substr(0, size));
    EXPECT_FALSE(load_tokenizer(folder.path()).ok()) << size;
  }
}

// Whatever a changed byte makes of the file, it loads and encodes or is refused.
TEST(HostileTokenizerTest, ChangedBytesNeverCrash) {
  const std::string text = small_byte_level_json().dump();
  const TokenizerFolder folder;
  int num_loaded = 0;
  for (std::uint64_t i = 0; i < 3000; ++i) {
    std::string changed = text;
    const PhiloxBlock draw = philox(11, 0, i);
    changed[draw[0] % changed.size()] = static_cast<char>(draw[1]);
    folder.write("tokenizer.json", changed);
    const auto tokenizer = load_tokenizer(folder.path());
    if (!tokenizer) continue;
    ++num_loaded;
    const auto tokens = (*tokenizer)->encode("abc <x> 12\n\u00e9");
    EXPECT_TRUE((*tokenizer)->decode(tokens).ok());
  }
  EXPECT_GT(num_loaded, 0);
}

TEST(HostileTokenizerTest, ConfigsAreReadWithTheSameCare) {
  const std::pair<const char*, const char*> cases[] = {{"[", "not valid JSON"},
                                                       {"[]", "should be an object"},
                                                       {R"({"eos_token": 5})", "eos_token: should be a string"},
                                                       {R"({"eos_token": {}})", "'content' is missing"},
                                                       {R"({"chat_template": 5})", "chat_template: should be a string"},
                                                       {R"({"chat_template": [5]})", "chat_template[0]"}};
  for (const auto& [config, part] : cases) {
    const TokenizerFolder folder;
    folder.write("tokenizer.json", small_tokenizer_json().dump());
    folder.write("tokenizer_config.json", config);
    const auto tokenizer = load_tokenizer(folder.path());
    ASSERT_FALSE(tokenizer.ok()) << config;
    EXPECT_THAT(tokenizer.error().message(), HasSubstr("tokenizer_config.json: ")) << config;
    EXPECT_THAT(tokenizer.error().message(), HasSubstr(part)) << config;
  }
}

TEST(HostileTokenizerTest, WhatIsNotThereIsNotFound) {
  const TokenizerFolder folder;
  for (const auto& path : {folder.path(), folder.path() / "missing.gguf"}) {
    const auto tokenizer = load_tokenizer(path);
    ASSERT_FALSE(tokenizer.ok());
    EXPECT_EQ(tokenizer.error().code(), ErrorCode::kNotFound);
    EXPECT_THAT(tokenizer.error().message(), HasSubstr(path.string()));
  }
}

}  // namespace
}  // namespace jigsaw
