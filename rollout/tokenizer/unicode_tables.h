// Unicode data in the versions that Hugging Face tokenizers holds, so that equal text gives equal tokens whatever the
// versions of the libraries on this machine. Made by tests/rollout/tokenizer/golden/make_unicode_tables.py.
#pragma once

#include <algorithm>
#include <iterator>
#include <span>

namespace jigsaw {

// Both ends belong to it.
struct CodePointRange {
  char32_t first, last;
};

inline bool contains(std::span<const CodePointRange> ranges, char32_t value) {
  const auto after = std::upper_bound(ranges.begin(), ranges.end(), value,
                                      [](char32_t v, const CodePointRange& range) { return v < range.first; });
  return after != ranges.begin() && value <= std::prev(after)->last;
}

// Characters that Unicode 14 did not know (or had in another category), with an older one of the same category and as
// many UTF-8 bytes: where text is matched against a pattern, the older one stands for them.
struct ProxyRange {
  char32_t first, last, proxy;
};

// General category N (Nd, Nl, No) of Unicode 17, in order.
std::span<const CodePointRange> numeric_ranges();
// Unicode 16 against 14, in order.
std::span<const ProxyRange> proxy_ranges();

// What normalisation leaves alone, since it is newer than Unicode 9 or goes with such a character: marks that keep
// their place, characters that do not combine. In order.
std::span<const CodePointRange> nfc_stranger_ranges();

}  // namespace jigsaw
