// Python's string methods, as far as templates use them. `text` must be valid UTF-8. Pure functions; what would become
// too large is a kResourceExhausted error.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace jigsaw::jinja {

constexpr std::size_t kTextBytesMax = 16 << 20;
constexpr std::size_t kPartsMax = 1 << 20;

// Without `characters` (a set), white space is stripped.
std::string strip(std::string_view text, const std::optional<std::string>& characters, bool left, bool right);
// Without a separator, at runs of white space. `separator` must not be empty.
Result<std::vector<std::string>> split(std::string_view text, const std::optional<std::string>& separator);
Result<std::string> replace(std::string_view text, std::string_view from, std::string_view to);
Result<std::vector<std::string>> characters(std::string_view text);

// Of ASCII texts; others are a kUnsupported error.
enum class LetterCase { kUpper, kLower, kTitle, kCapitalized };
Result<std::string> change_case(std::string_view text, LetterCase letter_case);

}  // namespace jigsaw::jinja
