#include "rollout/tokenizer/jinja/template.h"

#include "core/utf8.h"
#include "rollout/tokenizer/jinja/lexer.h"
#include "rollout/tokenizer/jinja/parser.h"
#include "rollout/tokenizer/jinja/renderer.h"

namespace jigsaw::jinja {
namespace {

// Ten times the largest one seen.
constexpr std::size_t kSourceBytesMax = 256 << 10;

}  // namespace

Result<Template> Template::parse(std::string_view source) {
  if (source.size() > kSourceBytesMax) {
    return Error(ErrorCode::kUnsupported, "a template of " + std::to_string(source.size()) + " bytes");
  }
  if (!utf8_is_well_formed(source)) return Error(ErrorCode::kCorrupt, "not valid UTF-8");
  JIGSAW_ASSIGN_OR_RETURN(std::vector<Token> tokens, tokenize(source));
  JIGSAW_ASSIGN_OR_RETURN(Block block, jinja::parse(std::move(tokens)));
  return Template(std::move(block));
}

Result<std::string> Template::render(const Dict& variables) const { return Renderer(variables).run(*block_); }

}  // namespace jigsaw::jinja
