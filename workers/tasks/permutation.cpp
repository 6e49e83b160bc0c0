#include "workers/tasks/permutation.h"

#include <algorithm>
#include <bit>

#include "core/check.h"
#include "core/philox.h"

namespace jigsaw {
namespace {

// Each round pairs place x with (shift - x) mod size and swaps the two or not. The paper's bound asks for about
// 6 log2(size) rounds; the constant makes small files, where a round pairs few, shuffle evenly as well.
int num_rounds(std::uint64_t size) { return 32 + 6 * std::bit_width(size); }

constexpr std::uint64_t kShiftCounter = ~std::uint64_t{0};  // no place has this number

}  // namespace

std::int64_t permuted(std::uint64_t key, std::int64_t position, std::int64_t size) {
  CHECK(position >= 0 && position < size);
  const auto count = static_cast<std::uint64_t>(size);
  auto place = static_cast<std::uint64_t>(position);
  for (int round = 0; round < num_rounds(count); ++round) {
    const PhiloxBlock block = philox(key, static_cast<std::uint64_t>(round), kShiftCounter);
    const std::uint64_t shift = (std::uint64_t{block[0]} << 32 | block[1]) % count;
    const std::uint64_t partner = shift >= place ? shift - place : shift + (count - place);
    const std::uint64_t pair = std::max(place, partner);  // both ends of a pair ask for the same bit
    if (philox(key, static_cast<std::uint64_t>(round), pair)[0] & 1) place = partner;
  }
  return static_cast<std::int64_t>(place);
}

}  // namespace jigsaw
