// Encoding and decoding equal those of the tokenizers library on the texts of golden/texts.py.
#include <gtest/gtest.h>

#include <thread>

#include "rollout/tokenizer/nfc.h"
#include "tests/rollout/tokenizer/tokenizer_testing.h"

namespace jigsaw {
namespace {

using testing::golden_json;
using testing::golden_path;
using testing::loaded;

class GoldenTest : public ::testing::TestWithParam<std::string> {};

TEST_P(GoldenTest, EncodesAndDecodesAsTheTokenizersLibrary) {
  const auto tokenizer = loaded(golden_path(GetParam()));
  const auto cases = golden_json(GetParam() + "/cases.json");
  ASSERT_EQ(cases.size(), 400u);
  for (const auto& one : cases) {
    const auto text = one["text"].get<std::string>();
    const auto tokens = one["tokens"].get<std::vector<TokenId>>();
    ASSERT_EQ(tokenizer->encode(text), tokens) << one["text"];
    const auto decoded = tokenizer->decode(tokens);
    ASSERT_TRUE(decoded.ok());
    ASSERT_EQ(*decoded, one["decoded"].get<std::string>()) << one["text"];
  }
}

INSTANTIATE_TEST_SUITE_P(All, GoldenTest, ::testing::Values("gpt2", "llama3", "qwen2", "smollm", "prefix"),
                         [](const auto& info) { return info.param; });

// With all bytes in the vocabulary and added tokens that take no white space along, nothing is lost.
TEST(RoundTripTest, DecodingGivesTheTextBack) {
  const auto llama3 = loaded(golden_path("llama3"));
  const auto bytes = make_byte_tokenizer();
  for (const std::string name : {"gpt2", "llama3", "qwen2", "smollm", "prefix"}) {
    for (const auto& one : golden_json(name + "/cases.json")) {
      const auto text = one["text"].get<std::string>();
      EXPECT_EQ(*llama3->decode(llama3->encode(text)), text);
      EXPECT_EQ(*bytes->decode(bytes->encode(text)), text);
    }
  }
}

TEST(RoundTripTest, DecodingGivesTheNormalisedTextBack) {
  const auto qwen2 = loaded(golden_path("qwen2"));
  for (const auto& one : golden_json("llama3/cases.json")) {
    const auto text = one["text"].get<std::string>();
    // An added token that decodes to something else than itself, see golden/make_tokenizers.py.
    if (to_nfc(text).find("\u00e9t\u00e9") != std::string::npos) continue;
    EXPECT_EQ(*qwen2->decode(qwen2->encode(text)), to_nfc(text));
  }
}

TEST(SaveTest, WritesWhatItRead) {
  const testing::TokenizerFolder source, copy;
  source.write("tokenizer.json", testing::small_tokenizer_json().dump());
  source.write("tokenizer_config.json", R"({"eos_token": {"content": "<x>"}, "model_max_length": 7})");
  source.write("chat_template.jinja", "{{ messages[0].content }}");
  ASSERT_TRUE(loaded(source.path())->save(copy.path()).ok());
  for (const char* name : {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja"}) {
    EXPECT_EQ(copy.read(name), source.read(name)) << name;
  }
  EXPECT_EQ(loaded(copy.path())->eos_tokens(), std::vector<TokenId>{5});
}

TEST(SaveTest, RefusesAFolderThatIsNotThere) {
  const auto status = make_byte_tokenizer()->save("/nowhere/at/all");
  ASSERT_FALSE(status.ok());
  EXPECT_NE(status.error().message().find("/nowhere/at/all/tokenizer.json"), std::string::npos);
}

TEST(ThreadsTest, OneTokenizerServesSeveralThreads) {
  const auto tokenizer = loaded(golden_path("gpt2"));
  const auto cases = golden_json("gpt2/cases.json");
  std::vector<int> num_wrong(4, 0);
  {
    std::vector<std::jthread> threads;
    for (int& wrong : num_wrong) {
      threads.emplace_back([&] {
        for (const auto& one : cases) {
          wrong += tokenizer->encode(one["text"].get<std::string>()) != one["tokens"].get<std::vector<TokenId>>();
        }
      });
    }
  }
  EXPECT_EQ(num_wrong, std::vector<int>(4, 0));
}

// A quadratic algorithm takes minutes to hours here, where the test has two minutes.
TEST(LongTextTest, AMegabyteInOnePieceTakesNoQuadraticTime) {
  std::string marks = "a";
  for (int i = 0; i < 250'000; ++i) marks += i % 2 == 0 ? "\u0301" : "\u0323";
  for (const std::string name : {"gpt2", "llama3", "qwen2", "smollm"}) {
    const auto tokenizer = loaded(golden_path(name));
    for (const std::string& text : {std::string(1'000'000, 'a'), std::string(1'000'000, ' '),
                                    std::string(1'000'000, ' ') + "x", std::string(500'000, '\n') + "x", marks}) {
      EXPECT_FALSE(tokenizer->encode(text).empty());
    }
  }
}

}  // namespace
}  // namespace jigsaw
