#include "core/in_quotes.h"

#include "core/utf8.h"

namespace jigsaw {

std::string in_quotes(std::string_view text) {
  constexpr std::size_t kBytesShown = 120;
  std::string shown = "\"";
  for (const std::string_view character : utf8_characters(text.substr(0, kBytesShown))) {
    const auto first = static_cast<unsigned char>(character.front());
    if (character == "\n") {
      shown += "\\n";
    } else if (first < 0x20 || first == 0x7F || utf8_character_size(character) == 0) {
      constexpr char kHex[] = "0123456789abcdef";
      shown += {'\\', 'x', kHex[first >> 4], kHex[first & 15]};
    } else {
      shown += character;
    }
  }
  return shown + (text.size() > kBytesShown ? "\"..." : "\"");
}

}  // namespace jigsaw
