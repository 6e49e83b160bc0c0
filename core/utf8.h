// Cutting UTF-8 into characters (code points). Any bytes are accepted: one that does not belong to a well-formed
// character stands for itself.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace jigsaw {

// Length in bytes of the well-formed character that `text` begins with; 0 if there is none. Overlong forms, surrogates
// and values above U+10FFFF are not well formed.
inline std::size_t utf8_character_size(std::string_view text) {
  if (text.empty()) return 0;
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  const std::size_t size = first >= 0xC2 && first <= 0xDF   ? 2
                           : (first & 0xF0) == 0xE0         ? 3
                           : first >= 0xF0 && first <= 0xF4 ? 4
                                                            : 0;
  if (size == 0 || text.size() < size) return 0;
  for (std::size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  const unsigned char second = byte(1);
  const bool well_formed = !(first == 0xE0 && second < 0xA0) && !(first == 0xED && second > 0x9F) &&
                           !(first == 0xF0 && second < 0x90) && !(first == 0xF4 && second > 0x8F);
  return well_formed ? size : 0;
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
