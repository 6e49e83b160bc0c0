// Cutting UTF-8 into characters (code points). Any bytes are accepted: one that does not belong to a well-formed
// character stands for itself.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace jigsaw {

struct Utf8Part {
  std::size_t num_bytes;
  bool is_character;
};
// What `text`, which is not empty, begins with: a well-formed character, or the longest part of one (at least a byte)
// that is none. Overlong forms, surrogates and values above U+10FFFF are not well formed.
inline Utf8Part first_utf8_part(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return {1, true};
  if (lead < 0xC2 || lead > 0xF4) return {1, false};  // continuation bytes, overlong forms, beyond U+10FFFF
  const std::size_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  // The second byte is narrower where the code point would be overlong, a surrogate or too large.
  unsigned char low = 0x80, high = 0xBF;
  if (lead == 0xE0) low = 0xA0;
  if (lead == 0xED) high = 0x9F;
  if (lead == 0xF0) low = 0x90;
  if (lead == 0xF4) high = 0x8F;
  for (std::size_t i = 1; i < length; ++i) {
    if (i >= text.size() || byte(i) < low || byte(i) > high) return {i, false};
    low = 0x80;
    high = 0xBF;
  }
  return {length, true};
}

// Length in bytes of the well-formed character that `text` begins with; 0 if there is none.
inline std::size_t utf8_character_size(std::string_view text) {
  if (text.empty()) return 0;
  const Utf8Part part = first_utf8_part(text);
  return part.is_character ? part.num_bytes : 0;
}

// Each maximal invalid part becomes one U+FFFD, as Python's errors="replace" and Rust's from_utf8_lossy do.
inline std::string replace_invalid_utf8(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size());
  while (!bytes.empty()) {
    const Utf8Part part = first_utf8_part(bytes);
    text += part.is_character ? bytes.substr(0, part.num_bytes) : std::string_view("\xEF\xBF\xBD");
    bytes.remove_prefix(part.num_bytes);
  }
  return text;
}

inline bool utf8_is_well_formed(std::string_view text) {
  while (!text.empty()) {
    const std::size_t size = utf8_character_size(text);
    if (size == 0) return false;
    text.remove_prefix(size);
  }
  return true;
}

// Views into `text`, one a character.
inline std::vector<std::string_view> utf8_characters(std::string_view text) {
  std::vector<std::string_view> characters;
  while (!text.empty()) {
    const std::size_t size = utf8_character_size(text);
    characters.push_back(text.substr(0, size == 0 ? 1 : size));
    text.remove_prefix(characters.back().size());
  }
  return characters;
}

}  // namespace jigsaw
