// How deep JSON text nests, told before it is parsed: a parsed tree takes some hundred bytes a bracket, and walking or
// freeing it recurses, so a hostile text could else use up memory or the stack.
#pragma once

#include <string_view>

namespace jigsaw {

// Deeper than any file or line that people write.
inline constexpr int kJsonNestingMax = 64;

// Whether more than kJsonNestingMax brackets are open at some place. `text` need not be valid JSON.
bool json_nests_too_deeply(std::string_view text);

}  // namespace jigsaw
