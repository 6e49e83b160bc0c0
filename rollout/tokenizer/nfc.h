// Unicode normalisation form C, as the tokenizers library does it: by Unicode 9, so that newer characters neither
// combine nor change places. Pure functions.
#pragma once

#include <string>
#include <string_view>

namespace jigsaw {

// False only if to_nfc() would return `text` as it is: a quick test that does not find all such texts.
bool may_change_in_nfc(std::string_view text);
// `text` must be valid UTF-8. Takes O(n log n) even for a text that is one long run of combining marks.
std::string to_nfc(std::string_view text);

}  // namespace jigsaw
