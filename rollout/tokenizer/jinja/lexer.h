// Cuts the source of a template into tokens, with white space around tags dealt with as transformers has it set:
// trim_blocks, lstrip_blocks, no newline at the end.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace jigsaw::jinja {

struct Token {
  enum class Kind {
    kText,
    kOutputBegin,
    kOutputEnd,
    kBlockBegin,
    kBlockEnd,
    kName,
    kInteger,
    kString,
    kOperator,
    kEnd
  };
  Kind kind;
  std::string text;  // strings without quotes and escapes
  std::int64_t integer = 0;
  int line = 0;
};

// The last token is kEnd. Errors name the line.
Result<std::vector<Token>> tokenize(std::string_view source);

}  // namespace jigsaw::jinja
