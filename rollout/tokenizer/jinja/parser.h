// Tokens -> syntax tree.
#pragma once

#include "core/result.h"
#include "rollout/tokenizer/jinja/lexer.h"
#include "rollout/tokenizer/jinja/syntax.h"

namespace jigsaw::jinja {

// Bounded nesting. Statements that are not known (macro, include, filter, raw ..) are kUnsupported errors.
Result<Block> parse(std::vector<Token> tokens);

}  // namespace jigsaw::jinja
