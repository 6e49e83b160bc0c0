// What an error shows of foreign text.
#pragma once

#include <string>
#include <string_view>

namespace jigsaw {

// In quotes, with control characters and bytes that are not UTF-8 as \xNN, cut after 120 bytes.
std::string in_quotes(std::string_view text);

}  // namespace jigsaw
