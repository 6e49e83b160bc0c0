// The filters, tests and methods that templates may call. What is not in here is a kUnsupported error, met only when
// the template really calls it.
#include <algorithm>

#include "rollout/tokenizer/jinja/operations.h"
#include "rollout/tokenizer/jinja/text_operations.h"

namespace jigsaw::jinja {
namespace {

Error unknown(std::string_view what, const std::string& name, const Value& value) {
  return Error(ErrorCode::kUnsupported, "the " + std::string(what) + " '" + name + "' of " +
                                            std::string(value.type_name()) + " is not known here");
}

Error bad_arguments(const std::string& name) {
  return Error(ErrorCode::kUnsupported, "'" + name + "' with these arguments is not known here");
}

// Argument `index`, or the keyword `name`; null where neither is given.
const Value* argument(const Arguments& arguments, std::size_t index, std::string_view name) {
  if (index < arguments.positional.size()) return &arguments.positional[index];
  const auto found = std::find_if(arguments.keywords.begin(), arguments.keywords.end(),
                                  [&](const auto& keyword) { return keyword.first == name; });
  return found != arguments.keywords.end() ? &found->second : nullptr;
}

// A string argument that may be left out or be none.
Result<std::optional<std::string>> optional_text(const Arguments& arguments, std::size_t index,
                                                 const std::string& name) {
  const Value* value = argument(arguments, index, name);
  if (value == nullptr || value->is_none()) return std::optional<std::string>();
  if (value->string() == nullptr) return bad_arguments(name);
  return std::optional(*value->string());
}

std::optional<LetterCase> letter_case(const std::string& name) {
  if (name == "upper") return LetterCase::kUpper;
  if (name == "lower") return LetterCase::kLower;
  if (name == "title") return LetterCase::kTitle;
  if (name == "capitalize") return LetterCase::kCapitalized;
  return std::nullopt;
}

Result<Value> string_method(const std::string& text, const std::string& name, const Arguments& arguments) {
  if (const auto to = letter_case(name)) {
    JIGSAW_ASSIGN_OR_RETURN(std::string changed, change_case(text, *to));
    return Value(std::move(changed));
  }
  if (name == "strip" || name == "lstrip" || name == "rstrip") {
    JIGSAW_ASSIGN_OR_RETURN(const auto set, optional_text(arguments, 0, "chars"));
    return Value(strip(text, set, name != "rstrip", name != "lstrip"));
  }
  if (name == "split") {
    JIGSAW_ASSIGN_OR_RETURN(const auto separator, optional_text(arguments, 0, "sep"));
    if ((separator && separator->empty()) || arguments.positional.size() > 1) return bad_arguments(name);
    List parts;
    JIGSAW_ASSIGN_OR_RETURN(std::vector<std::string> texts, split(text, separator));
    for (std::string& part : texts) parts.emplace_back(std::move(part));
    return Value(std::move(parts));
  }
  JIGSAW_ASSIGN_OR_RETURN(const auto first, optional_text(arguments, 0, "prefix"));
  if (!first) return bad_arguments(name);
  if (name == "startswith") return Value(text.starts_with(*first));
  if (name == "endswith") return Value(text.ends_with(*first));
  JIGSAW_ASSIGN_OR_RETURN(const auto second, optional_text(arguments, 1, "new"));
  if (name != "replace" || !second || arguments.positional.size() != 2) return bad_arguments(name);
  JIGSAW_ASSIGN_OR_RETURN(std::string replaced, replace(text, *first, *second));
  return Value(std::move(replaced));
}

// selectattr and rejectattr: the elements whose attribute passes a test, or does not.
Result<Value> select_by_attribute(const std::string& name, const List& items, const Arguments& arguments) {
  JIGSAW_ASSIGN_OR_RETURN(const auto attribute_name, optional_text(arguments, 0, "attribute"));
  if (!attribute_name) return bad_arguments(name);
  std::string test_name;
  std::vector<Value> test_arguments;
  if (arguments.positional.size() > 1) {
    if (arguments.positional[1].string() == nullptr) return bad_arguments(name);
    test_name = *arguments.positional[1].string();
    test_arguments.assign(arguments.positional.begin() + 2, arguments.positional.end());
  }
  List chosen;
  for (const Value& element : items) {
    JIGSAW_ASSIGN_OR_RETURN(const Value value, attribute(element, *attribute_name));
    bool passes = value.is_true();
    if (!test_name.empty()) {
      JIGSAW_ASSIGN_OR_RETURN(passes, test(test_name, value, test_arguments));
    }
    if (passes == (name == "selectattr")) chosen.push_back(element);
  }
  return Value(std::move(chosen));
}

Result<Value> join(const List& items, const std::string& separator) {
  std::string text;
  for (std::size_t i = 0; i < items.size(); ++i) {
    JIGSAW_ASSIGN_OR_RETURN(const std::string part, to_text(items[i]));
    text += (i > 0 ? separator : "") + part;
    if (text.size() > kTextBytesMax) return Error(ErrorCode::kResourceExhausted, "joins too large a text");
  }
  return Value(std::move(text));
}

}  // namespace

Result<Value> filter(const std::string& name, const Value& value, const Arguments& arguments) {
  if (name == "default" || name == "d") {
    const Value* fallback = argument(arguments, 0, "default_value");
    const Value* also_false = argument(arguments, 1, "boolean");
    const bool use_fallback =
        value.is_undefined() || (also_false != nullptr && also_false->is_true() && !value.is_true());
    if (!use_fallback) return value;
    return fallback != nullptr ? *fallback : Value("");
  }
  if (name == "string" || name == "safe") {
    JIGSAW_ASSIGN_OR_RETURN(std::string text, to_text(value));
    return Value(std::move(text));
  }
  if (name == "trim" || name == "replace" || letter_case(name)) {
    JIGSAW_ASSIGN_OR_RETURN(const std::string text, to_text(value));
    return string_method(text, name == "trim" ? "strip" : name, arguments);
  }
  if (name == "length" || name == "count") {
    if (const Dict* dict = value.dict()) return Value(static_cast<std::int64_t>(dict->size()));
    JIGSAW_ASSIGN_OR_RETURN(const List items, iterate(value));
    return Value(static_cast<std::int64_t>(items.size()));
  }
  if (name == "items" && value.dict() != nullptr) return method(value, name, arguments);
  const bool of_list = name == "list" || name == "first" || name == "last" || name == "join" || name == "reverse" ||
                       name == "selectattr" || name == "rejectattr";
  if (!of_list) return unknown("filter", name, value);
  JIGSAW_ASSIGN_OR_RETURN(List items, iterate(value));
  if (name == "list") return Value(std::move(items));
  if (name == "reverse" && value.string() == nullptr) {
    std::reverse(items.begin(), items.end());
    return Value(std::move(items));
  }
  if (name == "first" || name == "last") {
    if (items.empty()) return Value(Undefined{"the " + name + " of nothing"});
    return name == "first" ? items.front() : items.back();
  }
  if (name == "join" && arguments.positional.size() <= 1 && arguments.keywords.empty()) {
    JIGSAW_ASSIGN_OR_RETURN(const auto separator, optional_text(arguments, 0, "d"));
    return join(items, separator.value_or(""));
  }
  if (name == "selectattr" || name == "rejectattr") return select_by_attribute(name, items, arguments);
  return bad_arguments(name);
}

Result<bool> test(const std::string& name, const Value& value, const std::vector<Value>& arguments) {
  if (arguments.empty()) {
    const bool* flag = value.boolean();
    std::int64_t number = 0;
    const bool is_number = value.number(number);
    if (name == "defined") return !value.is_undefined();
    if (name == "undefined") return value.is_undefined();
    if (name == "none") return value.is_none();
    if (name == "string") return value.string() != nullptr;
    if (name == "mapping") return value.dict() != nullptr;
    if (name == "sequence" || name == "iterable") {
      const bool may_be = value.is_undefined() || value.string() || value.list() || value.dict();
      return may_be;
    }
    if (name == "number") return is_number;
    if (name == "integer") return is_number && flag == nullptr;
    if (name == "boolean") return flag != nullptr;
    if (name == "true") return flag != nullptr && *flag;
    if (name == "false") return flag != nullptr && !*flag;
    if (name == "odd" && is_number) return number % 2 != 0;
    if (name == "even" && is_number) return number % 2 == 0;
  }
  if (arguments.size() == 1) {
    if (name == "equalto" || name == "eq" || name == "==") return equal(value, arguments[0]);
    if (name == "ne" || name == "!=") return !equal(value, arguments[0]);
    if (name == "in") return compare("in", value, arguments[0]);
    std::int64_t number = 0, divisor = 0;
    if (name == "divisibleby" && value.number(number) && arguments[0].number(divisor) && divisor != 0) {
      return divisor == -1 || number % divisor == 0;
    }
  }
  return unknown("test", name, value);
}

Result<Value> method(const Value& object, const std::string& name, const Arguments& arguments) {
  if (object.is_undefined())
    return Error(ErrorCode::kInvalidArgument, "'" + object.undefined().name + "' is undefined");
  if (const std::string* text = object.string()) {
    constexpr std::string_view kKnown[] = {"upper",  "lower", "title",      "capitalize", "strip",  "lstrip",
                                           "rstrip", "split", "startswith", "endswith",   "replace"};
    if (std::find(std::begin(kKnown), std::end(kKnown), name) != std::end(kKnown)) {
      return string_method(*text, name, arguments);
    }
  }
  if (const Dict* dict = object.dict()) {
    if (name == "get") {
      JIGSAW_ASSIGN_OR_RETURN(const auto key, optional_text(arguments, 0, "key"));
      if (!key) return bad_arguments(name);
      const Value* found = find(*dict, *key);
      const Value* fallback = argument(arguments, 1, "default");
      return found != nullptr ? *found : fallback != nullptr ? *fallback : Value(None());
    }
    const bool keys = name == "keys" || name == "items", values = name == "values" || name == "items";
    if (keys || values) {
      List entries;
      for (const auto& [key, value] : *dict) {
        entries.push_back(keys && values ? Value(List{key, value}) : keys ? Value(key) : value);
      }
      return Value(std::move(entries));
    }
  }
  return unknown("method", name, object);
}

}  // namespace jigsaw::jinja
