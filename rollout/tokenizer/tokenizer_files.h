// The files of a tokenizer as text. Whatever a tokenizer comes from (a Hugging Face folder, a GGUF file, nothing), it
// is made from these, so that saving it writes just what it was made from.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/result.h"
#include "rollout/tokenizer/added_tokens.h"

namespace jigsaw {

struct TokenizerFiles {
  std::string origin;  // a path, for messages
  std::string tokenizer_json;
  std::string tokenizer_config_json;  // may be empty: there is no such file
  std::string chat_template_jinja;    // likewise; goes before the template in tokenizer_config.json
};

// Reads the files of a Hugging Face folder. tokenizer.json must be there.
Result<TokenizerFiles> read_tokenizer_files(const std::filesystem::path& folder);
// Writes those that there are into `folder`, which exists.
Status write_tokenizer_files(const TokenizerFiles& files, const std::filesystem::path& folder);

// What a tokenizer.json says, for those made here.
struct TokenizerParts {
  std::vector<std::string> tokens;  // spelled as in the file, by id; all different
  std::vector<std::string> merges;  // "a b", lowest rank first
  std::vector<AddedToken> added_tokens;
  nlohmann::json normalizer, pre_tokenizer, decoder;
  bool ignore_merges = false;
};
// All strings must be valid UTF-8.
std::string make_tokenizer_json(const TokenizerParts& parts);

}  // namespace jigsaw
