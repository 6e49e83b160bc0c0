// Code points of UTF-8 text, and what of Unicode the tokenizers need. Whether bytes are UTF-8 at all: core/utf8.h.
// Pure functions.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace jigsaw {

struct DecodedCodePoint {
  char32_t value;
  int num_bytes;  // 1 to 4
};
// The code point at `position` (inside `text`). `text` must be valid UTF-8.
DecodedCodePoint code_point_at(std::string_view text, std::size_t position);
// The code point that ends before `end` (> 0). `text` must be valid UTF-8.
DecodedCodePoint code_point_before(std::string_view text, std::size_t end);

// `value` must be a Unicode scalar value.
void append_utf8(char32_t value, std::string& out);

// Unicode White_Space. Unlike C's isspace or PCRE's \s: U+0085 and U+2028 are in, U+180E and U+200B are not.
bool is_white_space(char32_t value);
// General category N, e.g. also U+00BD (one half), U+2167 (Roman eight), U+0663 (Arabic-Indic three).
bool is_numeric(char32_t value);

}  // namespace jigsaw
