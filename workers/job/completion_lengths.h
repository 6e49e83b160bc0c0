// Completions of given lengths, for benchmarks: "7x16,1x256" is seven of 16 tokens and one of 256.
#pragma once

#include <string>
#include <vector>

#include "core/result.h"

namespace jigsaw {

// COUNTxLENGTH parts, joined by commas; each 1 to 4096 of 1 to 2^20 tokens. kInvalidArgument names the text and what
// was expected.
Result<std::vector<int>> parse_completion_lengths(const std::string& text);

}  // namespace jigsaw
