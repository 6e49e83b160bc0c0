// Folders, golden files and small tokenizer.json files for the tests of tokenizers.
#pragma once

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "rollout/tokenizer/tokenizer.h"

namespace jigsaw::testing {

// A new empty folder, removed with all it holds.
class TokenizerFolder {
 public:
  TokenizerFolder();
  ~TokenizerFolder();
  TokenizerFolder(const TokenizerFolder&) = delete;
  TokenizerFolder& operator=(const TokenizerFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  void write(const std::string& name, std::string_view text) const;
  std::string read(const std::string& name) const;

 private:
  std::filesystem::path path_;
};

std::filesystem::path golden_path(const std::string& name);
nlohmann::ordered_json golden_json(const std::string& name);

// Fails the test where there is none.
std::unique_ptr<Tokenizer> loaded(const std::filesystem::path& path);
// A folder with this tokenizer.json, loaded.
Result<std::unique_ptr<Tokenizer>> load_json(const nlohmann::json& tokenizer_json);

// A complete tokenizer.json over characters: vocabulary a, b, c, ab, abc by ids 0..4, merges "a b" and "ab c", and the
// added token <x> as id 5. Tests change what they are about.
nlohmann::json small_tokenizer_json();
// The same over bytes, with a ByteLevel pre-tokenizer and decoder that cuts nothing.
nlohmann::json small_byte_level_json();

std::vector<std::string> token_texts(const Tokenizer& tokenizer, std::string_view text);

}  // namespace jigsaw::testing
