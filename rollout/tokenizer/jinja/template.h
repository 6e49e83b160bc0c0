// Jinja templates, as far as chat templates go: if, for, set, break, continue, namespaces, and the filters, tests and
// methods of builtins.cpp. Rendering gives what transformers gives, which sets trim_blocks and lstrip_blocks, or an
// error. Immutable once parsed; may be used from several threads.
//
// Templates come with models, so they are not trusted: nesting, steps and output are bounded.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "core/result.h"
#include "rollout/tokenizer/jinja/syntax.h"
#include "rollout/tokenizer/jinja/value.h"

namespace jigsaw::jinja {

class Template {
 public:
  // kCorrupt: no valid template; kUnsupported: it uses what is not known here. Errors name the line.
  static Result<Template> parse(std::string_view source);

  // kInvalidArgument: the template refuses these variables by raise_exception(..), or cannot do with them.
  // `variables` must hold valid UTF-8 only.
  Result<std::string> render(const Dict& variables) const;

 private:
  explicit Template(Block block) : block_(std::make_unique<Block>(std::move(block))) {}
  std::unique_ptr<const Block> block_;
};

}  // namespace jigsaw::jinja
