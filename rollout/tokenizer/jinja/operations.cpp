#include "rollout/tokenizer/jinja/operations.h"

#include <algorithm>

#include "rollout/tokenizer/jinja/text_operations.h"

namespace jigsaw::jinja {
namespace {

Error refuse(const std::string& what, ErrorCode code = ErrorCode::kInvalidArgument) { return Error(code, what); }

Error undefined(const Value& value) { return refuse("'" + value.undefined().name + "' is undefined"); }

Error wrong_types(std::string_view name, const Value& left, const Value& right) {
  if (left.is_undefined()) return undefined(left);
  if (right.is_undefined()) return undefined(right);
  return refuse("'" + std::string(name) + "' of " + std::string(left.type_name()) + " and " +
                std::string(right.type_name()));
}

Result<std::int64_t> arithmetic(std::string_view name, std::int64_t left, std::int64_t right) {
  std::int64_t result = 0;
  bool overflows = false;
  if (name == "+") overflows = __builtin_add_overflow(left, right, &result);
  if (name == "-") overflows = __builtin_sub_overflow(left, right, &result);
  if (name == "*") overflows = __builtin_mul_overflow(left, right, &result);
  if (name == "//" || name == "%") {  // rounded down, as Python does
    if (right == 0) return refuse("a division by zero");
    if (right == -1) {
      overflows = name == "//" && __builtin_sub_overflow(std::int64_t{0}, left, &result);
    } else {
      const std::int64_t remainder = left % right;
      const bool rounded_up = remainder != 0 && (remainder < 0) != (right < 0);
      result = name == "%" ? remainder + (rounded_up ? right : 0) : left / right - (rounded_up ? 1 : 0);
    }
  }
  if (overflows) return refuse("a number beyond 64 bits", ErrorCode::kUnsupported);
  return result;
}

Result<bool> contains(const Value& container, const Value& element) {
  if (container.is_undefined()) return false;
  if (const std::string* text = container.string()) {
    if (element.string() == nullptr) return wrong_types("in", element, container);
    return text->find(*element.string()) != std::string::npos;
  }
  if (const Dict* dict = container.dict())
    return element.string() != nullptr && find(*dict, *element.string()) != nullptr;
  if (const List* list = container.list()) {
    return std::any_of(list->begin(), list->end(), [&](const Value& one) { return equal(one, element); });
  }
  return wrong_types("in", element, container);
}

}  // namespace

Result<Value> negate(const Value& value) {
  std::int64_t number = 0;
  if (!value.number(number)) return refuse("'-' of " + std::string(value.type_name()));
  JIGSAW_ASSIGN_OR_RETURN(const std::int64_t result, arithmetic("-", 0, number));
  return Value(result);
}

Result<Value> binary(std::string_view name, const Value& left, const Value& right) {
  if (name == "~") {
    JIGSAW_ASSIGN_OR_RETURN(std::string text, to_text(left));
    JIGSAW_ASSIGN_OR_RETURN(const std::string tail, to_text(right));
    return Value(text + tail);
  }
  std::int64_t a = 0, b = 0;
  if (left.number(a) && right.number(b)) {
    if (name == "/") return refuse("a division with a fraction", ErrorCode::kUnsupported);
    JIGSAW_ASSIGN_OR_RETURN(const std::int64_t result, arithmetic(name, a, b));
    return Value(result);
  }
  if (name == "+" && left.string() && right.string()) return Value(*left.string() + *right.string());
  if (name == "+" && left.list() && right.list()) {
    List joined = *left.list();
    joined.insert(joined.end(), right.list()->begin(), right.list()->end());
    return Value(std::move(joined));
  }
  return wrong_types(name, left, right);
}

Result<bool> compare(std::string_view name, const Value& left, const Value& right) {
  if (name == "==") return equal(left, right);
  if (name == "!=") return !equal(left, right);
  if (name == "in" || name == "not in") {
    JIGSAW_ASSIGN_OR_RETURN(const bool found, contains(right, left));
    return found == (name == "in");
  }
  std::int64_t a = 0, b = 0;
  int order = 0;
  if (left.number(a) && right.number(b)) {
    order = a < b ? -1 : a > b ? 1 : 0;
  } else if (left.string() && right.string()) {
    order = left.string()->compare(*right.string());  // UTF-8 sorts as code points do
  } else {
    return wrong_types(name, left, right);
  }
  if (name == "<") return order < 0;
  if (name == ">") return order > 0;
  if (name == "<=") return order <= 0;
  return order >= 0;
}

Result<Value> item(const Value& object, const Value& index) {
  if (object.is_undefined()) return undefined(object);
  std::int64_t number = 0;
  if (index.number(number) && object.list() != nullptr) {
    const List& items = *object.list();
    const auto size = static_cast<std::int64_t>(items.size());
    if (number < 0) number += size;
    if (number < 0 || number >= size) return Value(Undefined{"an element out of range"});
    return items[static_cast<std::size_t>(number)];
  }
  if (index.number(number) && object.string() != nullptr) {
    JIGSAW_ASSIGN_OR_RETURN(List letters, iterate(object));
    return item(Value(std::move(letters)), index);
  }
  if (index.string() != nullptr) return attribute(object, *index.string());
  return Value(Undefined{"an element"});
}

Result<Value> attribute(const Value& object, const std::string& name) {
  if (object.is_undefined()) return undefined(object);
  if (const Dict* dict = object.dict()) {
    if (const Value* found = find(*dict, name)) return *found;
    if (name == "items" || name == "keys" || name == "values" || name == "get") {
      return refuse("the method '" + name + "' without a call", ErrorCode::kUnsupported);
    }
  }
  return Value(Undefined{name});
}

Result<Value> slice(const Value& object, const std::optional<std::int64_t>& start,
                    const std::optional<std::int64_t>& stop, std::int64_t step) {
  if (object.is_undefined()) return undefined(object);
  if (step == 0) return refuse("a slice with step 0");
  if (object.string() == nullptr && object.list() == nullptr) {
    return refuse("a slice of " + std::string(object.type_name()));
  }
  JIGSAW_ASSIGN_OR_RETURN(const List items, iterate(object));
  const auto size = static_cast<std::int64_t>(items.size());
  const std::int64_t low = step > 0 ? 0 : -1, high = step > 0 ? size : size - 1;
  const auto bound = [&](std::int64_t value) { return std::clamp(value < 0 ? value + size : value, low, high); };
  const std::int64_t begin = start ? bound(*start) : step > 0 ? low : high;
  const std::int64_t end = stop ? bound(*stop) : step > 0 ? high : low;
  // A step longer than the list is as good as any longer one, and cannot overflow.
  const std::int64_t stride = std::clamp(step, -size - 1, size + 1);
  List chosen;
  for (std::int64_t i = begin; stride > 0 ? i < end : i > end; i += stride) {
    chosen.push_back(items[static_cast<std::size_t>(i)]);
  }
  if (object.string() == nullptr) return Value(std::move(chosen));
  std::string text;
  for (const Value& character : chosen) text += *character.string();
  return Value(std::move(text));
}

Result<List> iterate(const Value& value) {
  if (value.is_undefined()) return List();
  if (const List* list = value.list()) return *list;
  List items;
  if (const Dict* dict = value.dict()) {
    for (const auto& [key, unused] : *dict) items.emplace_back(key);
    return items;
  }
  if (const std::string* text = value.string()) {
    JIGSAW_ASSIGN_OR_RETURN(std::vector<std::string> letters, characters(*text));
    for (std::string& letter : letters) items.emplace_back(std::move(letter));
    return items;
  }
  return refuse("a loop over " + std::string(value.type_name()));
}

}  // namespace jigsaw::jinja
