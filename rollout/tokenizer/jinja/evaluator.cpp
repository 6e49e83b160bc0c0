// The half of the renderer that computes expressions.
#include <algorithm>

#include "rollout/tokenizer/jinja/renderer.h"
#include "rollout/tokenizer/jinja/text_operations.h"

namespace jigsaw::jinja {

using Kind = Expression::Kind;

Result<Value> Renderer::evaluate(const Expression& expression) {
  auto value = evaluate_unchecked(expression);
  // The innermost expression names the line; those around it pass the error on.
  if (!value) {
    if (value.error().message().starts_with("line ")) return value;
    return value.error().with_context("line " + std::to_string(expression.line));
  }
  JIGSAW_RETURN_IF_ERROR(charge(*value));
  return value;
}

Result<Value> Renderer::evaluate_unchecked(const Expression& expression) {
  switch (expression.kind) {
    case Kind::kLiteral: return expression.literal;
    case Kind::kName: return look_up(expression.text);
    case Kind::kList: return make_list(expression);
    case Kind::kDict: return make_dict(expression);
    case Kind::kSlice: return evaluate_slice(expression);
    case Kind::kCall: return evaluate_call(expression);
    case Kind::kCompare: return evaluate_comparison(expression);
    default: break;
  }
  JIGSAW_ASSIGN_OR_RETURN(Value first, evaluate(*expression.children[0]));
  switch (expression.kind) {
    case Kind::kAttribute: return attribute_of(first, expression.text);
    case Kind::kSubscript: {
      JIGSAW_ASSIGN_OR_RETURN(const Value index, evaluate(*expression.children[1]));
      if (first.name_space() && index.string()) return attribute_of(first, *index.string());
      return item(first, index);
    }
    case Kind::kFilter: {
      JIGSAW_ASSIGN_OR_RETURN(const Arguments given, arguments(expression));
      return filter(expression.text, first, given);
    }
    case Kind::kTest: {
      JIGSAW_ASSIGN_OR_RETURN(const Arguments given, arguments(expression));
      JIGSAW_ASSIGN_OR_RETURN(const bool passes, test(expression.text, first, given.positional));
      return Value(passes);
    }
    case Kind::kNegate: return negate(first);
    case Kind::kNot: return Value(!first.is_true());
    case Kind::kAnd: return first.is_true() ? evaluate(*expression.children[1]) : first;
    case Kind::kOr: return first.is_true() ? first : evaluate(*expression.children[1]);
    case Kind::kBinary: {
      JIGSAW_ASSIGN_OR_RETURN(const Value second, evaluate(*expression.children[1]));
      return binary(expression.text, first, second);
    }
    case Kind::kConditional: {
      const auto& chosen = expression.children[first.is_true() ? 1 : 2];
      if (chosen == nullptr) return Value(Undefined{"an if without else"});
      return evaluate(*chosen);
    }
    default: CHECK_FAILED("a kind of expression that does not exist");
  }
}

Result<Value> Renderer::attribute_of(const Value& object, const std::string& name) const {
  if (object.name_space() == nullptr) return attribute(object, name);
  const Value* found = find(namespaces_[object.name_space()->index], name);
  return found != nullptr ? *found : Value(Undefined{name});
}

Result<Value> Renderer::evaluate_slice(const Expression& expression) {
  JIGSAW_ASSIGN_OR_RETURN(const Value object, evaluate(*expression.children[0]));
  std::optional<std::int64_t> bounds[3];
  for (int i = 0; i < 3; ++i) {
    if (expression.children[i + 1] == nullptr) continue;
    JIGSAW_ASSIGN_OR_RETURN(const Value bound, evaluate(*expression.children[i + 1]));
    if (bound.is_none()) continue;
    std::int64_t number = 0;
    if (!bound.number(number))
      return Error(ErrorCode::kInvalidArgument, "a slice by " + std::string(bound.type_name()));
    bounds[i] = number;
  }
  return slice(object, bounds[0], bounds[1], bounds[2].value_or(1));
}

Result<Value> Renderer::evaluate_comparison(const Expression& expression) {
  JIGSAW_ASSIGN_OR_RETURN(Value left, evaluate(*expression.children[0]));
  for (std::size_t i = 0; i < expression.operators.size(); ++i) {
    JIGSAW_ASSIGN_OR_RETURN(Value right, evaluate(*expression.children[i + 1]));
    JIGSAW_ASSIGN_OR_RETURN(const bool holds, compare(expression.operators[i], left, right));
    if (!holds) return Value(false);
    left = std::move(right);
  }
  return Value(true);
}

Result<Arguments> Renderer::arguments(const Expression& expression) {
  Arguments result;
  for (std::size_t i = 1; i < expression.children.size(); ++i) {
    JIGSAW_ASSIGN_OR_RETURN(Value value, evaluate(*expression.children[i]));
    result.positional.push_back(std::move(value));
  }
  for (const auto& [name, child] : expression.keywords) {
    JIGSAW_ASSIGN_OR_RETURN(Value value, evaluate(*child));
    result.keywords.emplace_back(name, std::move(value));
  }
  return result;
}

Result<Value> Renderer::evaluate_call(const Expression& expression) {
  JIGSAW_ASSIGN_OR_RETURN(Arguments given, arguments(expression));
  const Expression& callee = *expression.children[0];
  if (callee.kind == Kind::kAttribute) {
    JIGSAW_ASSIGN_OR_RETURN(const Value object, evaluate(*callee.children[0]));
    return method(object, callee.text, given);
  }
  if (callee.kind == Kind::kName) return call_function(callee.text, std::move(given));
  return Error(ErrorCode::kUnsupported, "this kind of call is not known here");
}

Result<Value> Renderer::call_function(const std::string& name, Arguments given) {
  if (name == "raise_exception") {
    JIGSAW_ASSIGN_OR_RETURN(const std::string text,
                            to_text(given.positional.empty() ? Value("") : given.positional[0]));
    return Error(ErrorCode::kInvalidArgument, "the template refuses: " + text);
  }
  if (name == "namespace" && given.positional.empty()) {
    namespaces_.push_back(std::move(given.keywords));
    return Value(NamespaceRef{namespaces_.size() - 1});
  }
  std::int64_t number = 0;
  if (name == "range" && given.positional.size() == 1 && given.positional[0].number(number)) {
    List numbers;
    if (number > static_cast<std::int64_t>(kPartsMax)) return Error(ErrorCode::kResourceExhausted, "too long a range");
    for (std::int64_t i = 0; i < number; ++i) numbers.emplace_back(i);
    return Value(std::move(numbers));
  }
  // Above all strftime_now(): a prompt that holds the date would make each day's training another one. Templates ask
  // whether it is defined, and have a date of their own where it is not.
  return Error(ErrorCode::kUnsupported, "the function '" + name + "' is not known here");
}

Result<Value> Renderer::make_list(const Expression& expression) {
  List items;
  for (const auto& child : expression.children) {
    JIGSAW_ASSIGN_OR_RETURN(Value value, evaluate(*child));
    items.push_back(std::move(value));
  }
  return Value(std::move(items));
}

Result<Value> Renderer::make_dict(const Expression& expression) {
  Dict entries;
  for (std::size_t i = 0; i < expression.children.size(); i += 2) {
    JIGSAW_ASSIGN_OR_RETURN(const Value key, evaluate(*expression.children[i]));
    JIGSAW_ASSIGN_OR_RETURN(Value value, evaluate(*expression.children[i + 1]));
    if (key.string() == nullptr) return Error(ErrorCode::kUnsupported, "a dict with keys that are no strings");
    std::erase_if(entries, [&](const auto& entry) { return entry.first == *key.string(); });
    entries.emplace_back(*key.string(), std::move(value));
  }
  return Value(std::move(entries));
}

}  // namespace jigsaw::jinja
