// A random permutation that is computed at one place, without a table: prompts of an epoch are drawn with it.
#pragma once

#include <cstdint>

namespace jigsaw {

// Where position goes in the permutation of 0..size-1 that `key` names; 0 <= position < size. For one key, each place
// is hit once. This is the swap-or-not shuffle (Hoang, Morris and Rogaway, CRYPTO 2012), which works for any size.
std::int64_t permuted(std::uint64_t key, std::int64_t position, std::int64_t size);

}  // namespace jigsaw
