#include "tests/rollout/tokenizer/tokenizer_testing.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <fstream>
#include <sstream>

namespace jigsaw::testing {

using nlohmann::json;

TokenizerFolder::TokenizerFolder() {
  std::string name = (std::filesystem::temp_directory_path() / "jigsaw-tokenizer-XXXXXX").string();
  CHECK(mkdtemp(name.data()) != nullptr);
  path_ = name;
}

TokenizerFolder::~TokenizerFolder() { std::filesystem::remove_all(path_); }

void TokenizerFolder::write(const std::string& name, std::string_view text) const {
  std::ofstream(path_ / name, std::ios::binary) << text;
}

std::string TokenizerFolder::read(const std::string& name) const {
  std::ifstream in(path_ / name, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

std::filesystem::path golden_path(const std::string& name) {
  return std::filesystem::path(JIGSAW_SOURCE_DIR) / "tests/rollout/tokenizer/golden" / name;
}

nlohmann::ordered_json golden_json(const std::string& name) {
  std::ifstream in(golden_path(name));
  CHECK_MSG(in.good(), golden_path(name).string());
  return nlohmann::ordered_json::parse(in);
}

std::unique_ptr<Tokenizer> loaded(const std::filesystem::path& path) {
  auto tokenizer = load_tokenizer(path);
  CHECK_MSG(tokenizer.ok(), tokenizer.error().message());
  return std::move(*tokenizer);
}

Result<std::unique_ptr<Tokenizer>> load_json(const json& tokenizer_json) {
  const TokenizerFolder folder;
  folder.write("tokenizer.json", tokenizer_json.dump());
  return load_tokenizer(folder.path());
}

json small_tokenizer_json() {
  return json::parse(R"({
    "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "pre_tokenizer": null,
    "added_tokens": [{"id": 5, "content": "<x>", "single_word": false, "lstrip": false, "rstrip": false,
                      "normalized": false, "special": true}],
    "post_processor": null, "decoder": {"type": "Fuse"},
    "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
              "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
              "vocab": {"a": 0, "b": 1, "c": 2, "ab": 3, "abc": 4}, "merges": ["a b", "ab c"]}})");
}

json small_byte_level_json() {
  json document = small_tokenizer_json();
  document["pre_tokenizer"] = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}};
  document["decoder"] = {{"type", "ByteLevel"}};
  return document;
}

std::vector<std::string> token_texts(const Tokenizer& tokenizer, std::string_view text) {
  std::vector<std::string> texts;
  for (const TokenId token : tokenizer.encode(text)) texts.push_back(tokenizer.token_bytes(token));
  return texts;
}

}  // namespace jigsaw::testing
