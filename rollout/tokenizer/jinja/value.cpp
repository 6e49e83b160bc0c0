#include "rollout/tokenizer/jinja/value.h"

#include <algorithm>

namespace jigsaw::jinja {

Value::Value(List value) {
  for (const Value& element : value) depth_ = std::max(depth_, element.depth() + 1);
  variant_ = std::make_shared<const List>(std::move(value));
}

Value::Value(Dict value) {
  for (const auto& [key, element] : value) depth_ = std::max(depth_, element.depth() + 1);
  variant_ = std::make_shared<const Dict>(std::move(value));
}

const List* Value::list() const {
  const auto* found = std::get_if<std::shared_ptr<const List>>(&variant_);
  return found != nullptr ? found->get() : nullptr;
}

const Dict* Value::dict() const {
  const auto* found = std::get_if<std::shared_ptr<const Dict>>(&variant_);
  return found != nullptr ? found->get() : nullptr;
}

bool Value::number(std::int64_t& out) const {
  if (const bool* flag = boolean()) {
    out = *flag ? 1 : 0;
    return true;
  }
  const auto* integer = std::get_if<std::int64_t>(&variant_);
  if (integer != nullptr) out = *integer;
  return integer != nullptr;
}

bool Value::is_true() const {
  std::int64_t integer = 0;
  if (number(integer)) return integer != 0;
  if (const std::string* text = string()) return !text->empty();
  if (const List* items = list()) return !items->empty();
  if (const Dict* entries = dict()) return !entries->empty();
  return name_space() != nullptr;
}

std::string_view Value::type_name() const {
  constexpr std::string_view kNames[] = {"undefined", "none",   "a bool", "an integer",
                                         "a string",  "a list", "a dict", "a namespace"};
  return kNames[variant_.index()];
}

const Value* find(const Dict& dict, std::string_view key) {
  const auto found = std::find_if(dict.begin(), dict.end(), [&](const auto& entry) { return entry.first == key; });
  return found != dict.end() ? &found->second : nullptr;
}

namespace {

// Of values that are no lists or dicts, and of the same list or dict.
bool same(const Value& a, const Value& b) {
  std::int64_t left = 0, right = 0;
  if (a.number(left)) return b.number(right) && left == right;
  if (a.string() && b.string()) return *a.string() == *b.string();
  if (a.list() || a.dict()) return a.list() == b.list() && a.dict() == b.dict();
  if (a.name_space() && b.name_space()) return a.name_space()->index == b.name_space()->index;
  return (a.is_none() && b.is_none()) || (a.is_undefined() && b.is_undefined());
}

}  // namespace

bool equal(const Value& a, const Value& b) {
  if (a.list() && b.list()) {
    return std::equal(a.list()->begin(), a.list()->end(), b.list()->begin(), b.list()->end(), same);
  }
  if (a.dict() && b.dict()) {
    const auto in_b = [&](const auto& entry) {
      const Value* other = find(*b.dict(), entry.first);
      return other != nullptr && same(entry.second, *other);
    };
    return a.dict()->size() == b.dict()->size() && std::all_of(a.dict()->begin(), a.dict()->end(), in_b);
  }
  return same(a, b);
}

Result<std::string> to_text(const Value& value) {
  if (value.is_undefined()) return std::string();
  if (value.is_none()) return std::string("None");
  if (const bool* flag = value.boolean()) return std::string(*flag ? "True" : "False");
  if (const std::string* text = value.string()) return *text;
  std::int64_t integer = 0;
  if (value.number(integer)) return std::to_string(integer);
  return Error(ErrorCode::kUnsupported, "prints " + std::string(value.type_name()));
}

}  // namespace jigsaw::jinja
