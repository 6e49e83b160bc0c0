// One rendering of a template.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/result.h"
#include "rollout/tokenizer/jinja/operations.h"
#include "rollout/tokenizer/jinja/syntax.h"
#include "rollout/tokenizer/jinja/value.h"

namespace jigsaw::jinja {

class Renderer {
 public:
  explicit Renderer(const Dict& variables) : scopes_{variables} {}

  Result<std::string> run(const Block& block);

 private:
  // What a block ended with.
  enum class Flow { kNext, kBreak, kContinue };

  Result<Flow> run_block(const Block& block);
  Result<Flow> run_statement(const Statement& statement);
  Result<Flow> run_loop(const Statement& statement);
  Status assign(const Statement& statement, Value value);
  Status assign_names(const Statement& statement, Value value);
  void set(const std::string& name, Value value);

  Result<Value> evaluate(const Expression& expression);
  Result<Value> evaluate_unchecked(const Expression& expression);
  Result<Value> evaluate_slice(const Expression& expression);
  Result<Value> evaluate_comparison(const Expression& expression);
  Result<Value> evaluate_call(const Expression& expression);
  Result<Value> call_function(const std::string& name, Arguments arguments);
  Result<Value> make_list(const Expression& expression);
  Result<Value> make_dict(const Expression& expression);
  Result<Arguments> arguments(const Expression& expression);
  Result<Value> attribute_of(const Value& object, const std::string& name) const;
  Value look_up(const std::string& name) const;

  // Work is counted in steps, and in bytes and elements that values made along the way have.
  Status charge(std::size_t amount);
  Status charge(const Value& value);
  Status print(std::string_view text);

  std::vector<Dict> scopes_;  // innermost last; a loop's iteration has its own
  std::vector<Dict> namespaces_;
  std::string out_;
  std::size_t spent_ = 0;
};

}  // namespace jigsaw::jinja
