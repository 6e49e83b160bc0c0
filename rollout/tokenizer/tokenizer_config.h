// What tokenizer_config.json and chat_template.jinja say of interest here.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "core/result.h"
#include "rollout/tokenizer/tokenizer_files.h"

namespace jigsaw {

struct TokenizerConfig {
  // "bos_token" -> "<s>" and so on, where given; chat templates refer to them by these names.
  std::map<std::string, std::string> special_tokens;
  std::optional<std::string> chat_template;
};

Result<TokenizerConfig> read_tokenizer_config(const TokenizerFiles& files);

}  // namespace jigsaw
