#include "rollout/tokenizer/byte_symbols.h"

#include <array>

#include "rollout/tokenizer/utf8.h"

namespace jigsaw {
namespace {

constexpr int kNumSymbolsAbove = 68;  // U+0100 to U+0143

struct Tables {
  std::array<char32_t, 256> symbol{};
  std::array<int, 256 + kNumSymbolsAbove> byte{};  // -1: the character stands for no byte
};

constexpr Tables make_tables() {
  Tables tables;
  for (int& byte : tables.byte) byte = -1;
  int num_moved = 0;
  for (int byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
    const int symbol = printable ? byte : 256 + num_moved++;
    tables.symbol[byte] = static_cast<char32_t>(symbol);
    tables.byte[symbol] = byte;
  }
  return tables;
}

constexpr Tables kTables = make_tables();

}  // namespace

char32_t byte_symbol(unsigned char byte) { return kTables.symbol[byte]; }

std::optional<unsigned char> byte_of_symbol(char32_t symbol) {
  if (symbol >= kTables.byte.size() || kTables.byte[symbol] < 0) return std::nullopt;
  return static_cast<unsigned char>(kTables.byte[symbol]);
}

std::string symbols_of_bytes(std::string_view bytes) {
  std::string symbols;
  for (const char byte : bytes) append_utf8(byte_symbol(static_cast<unsigned char>(byte)), symbols);
  return symbols;
}

std::optional<std::string> bytes_of_symbols(std::string_view token) {
  std::string bytes;
  for (std::size_t i = 0; i < token.size();) {
    const DecodedCodePoint symbol = code_point_at(token, i);
    const auto byte = byte_of_symbol(symbol.value);
    if (!byte) return std::nullopt;
    bytes.push_back(static_cast<char>(*byte));
    i += symbol.num_bytes;
  }
  return bytes;
}

}  // namespace jigsaw
