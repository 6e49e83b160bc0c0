// GPT-2's spelling of bytes as printable characters, in which byte-level vocabularies and merges are written: most
// printable Latin-1 characters stand for themselves, the other 68 bytes are U+0100 onwards. Pure functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace jigsaw {

char32_t byte_symbol(unsigned char byte);
std::optional<unsigned char> byte_of_symbol(char32_t symbol);

// " a" -> "Ġa"
std::string symbols_of_bytes(std::string_view bytes);
// The reverse; empty if any character is no symbol. `token` must be valid UTF-8.
std::optional<std::string> bytes_of_symbols(std::string_view token);

}  // namespace jigsaw
