// Tokenizers from the metadata of GGUF files.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/rollout/tokenizer/tokenizer_testing.h"

namespace jigsaw {
namespace {

using ::testing::ElementsAre;
using testing::golden_json;
using testing::golden_path;
using ::testing::HasSubstr;
using testing::loaded;
using testing::TokenizerFolder;

// The bytes of a GGUF file with metadata and no tensors.
class GgufMetadata {
 public:
  GgufMetadata& text(const std::string& key, const std::string& value) { return add(key, 8, string(value)); }
  GgufMetadata& number(const std::string& key, std::uint32_t value) { return add(key, 4, raw(value)); }
  GgufMetadata& texts(const std::string& key, const std::vector<std::string>& values) {
    std::string bytes = raw(std::uint32_t{8}) + raw(std::uint64_t{values.size()});
    for (const std::string& value : values) bytes += string(value);
    return add(key, 9, bytes);
  }
  GgufMetadata& numbers(const std::string& key, const std::vector<std::int32_t>& values) {
    std::string bytes = raw(std::uint32_t{5}) + raw(std::uint64_t{values.size()});
    for (const std::int32_t value : values) bytes += raw(value);
    return add(key, 9, bytes);
  }
  Result<std::unique_ptr<Tokenizer>> load() const {
    const TokenizerFolder folder;
    folder.write("model.gguf", "GGUF" + raw(std::uint32_t{3}) + raw(std::uint64_t{0}) + raw(num_keys_) + keys_);
    return load_tokenizer(folder.path() / "model.gguf");
  }

 private:
  template <typename T>
  static std::string raw(T value) {
    return std::string(reinterpret_cast<const char*>(&value), sizeof(T));
  }
  static std::string string(const std::string& text) { return raw(std::uint64_t{text.size()}) + text; }
  GgufMetadata& add(const std::string& key, std::uint32_t type, const std::string& bytes) {
    keys_ += string(key) + raw(type) + bytes;
    ++num_keys_;
    return *this;
  }
  std::string keys_;
  std::uint64_t num_keys_ = 0;
};

// The metadata that a converter makes of a tokenizer of golden/.
GgufMetadata metadata_of(const std::string& name, const std::string& pre) {
  const auto document = golden_json(name + "/tokenizer.json");
  std::vector<std::string> tokens, merges;
  for (const auto& [token, id] : document["model"]["vocab"].items()) {
    tokens.resize(std::max<std::size_t>(tokens.size(), id.get<std::size_t>() + 1));
    tokens[id.get<std::size_t>()] = token;
  }
  std::vector<std::int32_t> types(tokens.size(), 1);
  for (const auto& added : document["added_tokens"]) {
    const auto id = added["id"].get<std::size_t>();
    tokens.resize(std::max(tokens.size(), id + 1));
    types.resize(tokens.size(), 1);
    tokens[id] = added["content"].get<std::string>();
    types[id] = added["special"].get<bool>() ? 3 : 4;
  }
  for (const auto& merge : document["model"]["merges"]) {
    merges.push_back(merge[0].get<std::string>() + " " + merge[1].get<std::string>());
  }
  GgufMetadata metadata;
  metadata.text("tokenizer.ggml.model", "gpt2").texts("tokenizer.ggml.tokens", tokens);
  metadata.numbers("tokenizer.ggml.token_type", types).texts("tokenizer.ggml.merges", merges);
  return metadata.text("tokenizer.ggml.pre", pre);
}

GgufMetadata small_metadata() {
  GgufMetadata metadata;
  metadata.text("tokenizer.ggml.model", "gpt2").texts("tokenizer.ggml.tokens", {"a", "b", "\u0120", "ab", "<e>", "1"});
  metadata.numbers("tokenizer.ggml.token_type", {1, 1, 1, 1, 3, 1}).texts("tokenizer.ggml.merges", {"a b"});
  return metadata;
}

class GgufGoldenTest : public ::testing::TestWithParam<std::pair<const char*, const char*>> {};

TEST_P(GgufGoldenTest, EqualsTheTokenizerItWasMadeFrom) {
  const auto [name, pre] = GetParam();
  const auto tokenizer = metadata_of(name, pre).load();
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message();
  const TokenizerFolder folder;  // also after it was saved as a Hugging Face folder
  ASSERT_TRUE((*tokenizer)->save(folder.path()).ok());
  const auto saved = loaded(folder.path());
  for (const auto& one : golden_json(std::string(name) + "/cases.json")) {
    const auto text = one["text"].get<std::string>();
    const auto tokens = one["tokens"].get<std::vector<TokenId>>();
    ASSERT_EQ((*tokenizer)->encode(text), tokens) << one["text"];
    ASSERT_EQ(saved->encode(text), tokens) << one["text"];
    ASSERT_EQ(*saved->decode(tokens), one["decoded"].get<std::string>());
  }
}

INSTANTIATE_TEST_SUITE_P(All, GgufGoldenTest,
                         ::testing::Values(std::pair("smollm", "smollm"), std::pair("llama3", "llama-bpe")),
                         [](const auto& info) { return info.param.first; });

TEST(GgufTokenizerTest, EndTokenAndChatTemplateComeFromTheMetadata) {
  auto metadata = small_metadata();
  metadata.number("tokenizer.ggml.eos_token_id", 4).text("tokenizer.ggml.pre", "gpt-2");
  metadata.text("tokenizer.chat_template", "{{ messages[0].content ~ eos_token }}");
  const auto tokenizer = metadata.load();
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message();
  EXPECT_THAT((*tokenizer)->eos_tokens(), ElementsAre(4));
  EXPECT_EQ(*(*tokenizer)->apply_chat_template(std::vector<ChatMessage>{{"user", "ab"}}), "ab<e>");
  const TokenizerFolder folder;
  ASSERT_TRUE((*tokenizer)->save(folder.path()).ok());
  EXPECT_THAT(loaded(folder.path())->eos_tokens(), ElementsAre(4));
  EXPECT_EQ(*loaded(folder.path())->apply_chat_template(std::vector<ChatMessage>{{"user", "ab"}}), "ab<e>");
}

TEST(GgufTokenizerTest, WithoutANamedPreTokenizerItIsLlamaCppsDefault) {
  const auto tokenizer = small_metadata().load();
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message();
  EXPECT_THAT(testing::token_texts(**tokenizer, "ab1111 ab<e>"),
              ElementsAre("ab", "1", "1", "1", "1", " ", "ab", "<e>"));
}

TEST(GgufTokenizerTest, RefusesWhatIsWrongWithTheKeysName) {
  const auto expect_error = [](const GgufMetadata& metadata, ErrorCode code, const std::string& part) {
    const auto tokenizer = metadata.load();
    ASSERT_FALSE(tokenizer.ok()) << part;
    EXPECT_EQ(tokenizer.error().code(), code) << tokenizer.error().message();
    EXPECT_THAT(tokenizer.error().message(), HasSubstr("model.gguf"));
    EXPECT_THAT(tokenizer.error().message(), HasSubstr(part));
  };
  expect_error(small_metadata().text("tokenizer.ggml.pre", "odd"), ErrorCode::kUnsupported,
               "tokenizer.ggml.pre: 'odd'");
  expect_error(small_metadata().number("tokenizer.ggml.eos_token_id", 6), ErrorCode::kCorrupt, "eos_token_id: 6");
  expect_error(GgufMetadata().text("tokenizer.ggml.model", "llama"), ErrorCode::kUnsupported, "model: 'llama'");
  const auto tokens = [](const std::vector<std::string>& texts, const std::vector<std::int32_t>& types) {
    GgufMetadata metadata;
    metadata.text("tokenizer.ggml.model", "gpt2").texts("tokenizer.ggml.tokens", texts);
    return metadata.numbers("tokenizer.ggml.token_type", types).texts("tokenizer.ggml.merges", {});
  };
  expect_error(tokens({"a", "a"}, {1, 1}), ErrorCode::kCorrupt, "tokens: 'a' has ids 0 and 1");
  expect_error(tokens({"a", "\xFF"}, {1, 1}), ErrorCode::kCorrupt, "tokens: has an entry that is not valid UTF-8");
  expect_error(tokens({"a", "b"}, {1}), ErrorCode::kCorrupt, "token_type: has 1 entries for 2 tokens");
  EXPECT_FALSE(GgufMetadata().load().ok());
}

}  // namespace
}  // namespace jigsaw
