// tokenizer.json holds patterns in Oniguruma's Ruby syntax; this spells them for PCRE2 so that they match the same.
// What differs: \s is Unicode White_Space, \w is Unicode's word, \v is one character, a script name means Script and
// not Script_Extensions, {,n} is an interval. Constructs that mean something else in PCRE2, or that this does not know,
// are kUnsupported errors: back references, named groups, nested or intersected classes, word boundaries, possessive
// intervals and the like.
#pragma once

#include <string>
#include <string_view>

#include "core/result.h"

namespace jigsaw {

Result<std::string> rewrite_pattern_for_pcre2(std::string_view pattern);

}  // namespace jigsaw
