// What the expressions of a template work on, with Python's rules. Values share their lists and dicts, which never
// change.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "core/result.h"

namespace jigsaw::jinja {

class Value;
using List = std::vector<Value>;
using Dict = std::vector<std::pair<std::string, Value>>;  // in the order of insertion

// Prints as nothing, is false, and may be asked whether it is defined; any other use is an error that names it.
struct Undefined {
  std::string name;
};
struct None {};
// A namespace(..), the one thing that changes; the renderer keeps its content.
struct NamespaceRef {
  std::size_t index = 0;
};

class Value {
 public:
  using Variant = std::variant<Undefined, None, bool, std::int64_t, std::string, std::shared_ptr<const List>,
                               std::shared_ptr<const Dict>, NamespaceRef>;

  Value() = default;
  Value(Undefined value) : variant_(std::move(value)) {}      // NOLINT: implicit
  Value(None value) : variant_(value) {}                      // NOLINT: implicit
  Value(bool value) : variant_(value) {}                      // NOLINT: implicit
  Value(std::int64_t value) : variant_(value) {}              // NOLINT: implicit
  Value(std::string value) : variant_(std::move(value)) {}    // NOLINT: implicit
  Value(const char* value) : variant_(std::string(value)) {}  // NOLINT: implicit
  Value(List value);                                          // NOLINT: implicit
  Value(Dict value);                                          // NOLINT: implicit
  Value(NamespaceRef value) : variant_(value) {}              // NOLINT: implicit

  bool is_undefined() const { return std::holds_alternative<Undefined>(variant_); }
  bool is_none() const { return std::holds_alternative<None>(variant_); }
  // Null where the value is of another type.
  const bool* boolean() const { return std::get_if<bool>(&variant_); }
  const std::string* string() const { return std::get_if<std::string>(&variant_); }
  const List* list() const;
  const Dict* dict() const;
  const NamespaceRef* name_space() const { return std::get_if<NamespaceRef>(&variant_); }
  const Undefined& undefined() const { return std::get<Undefined>(variant_); }
  // Of an integer or a bool, which counts as 0 or 1. Returns whether it is one.
  bool number(std::int64_t& out) const;

  bool is_true() const;
  // 0 without elements, else one more than the deepest element.
  int depth() const { return depth_; }
  // "a string", "a list"; for messages.
  std::string_view type_name() const;

 private:
  Variant variant_;
  int depth_ = 0;
};

// Of a dict; null where it has no such key.
const Value* find(const Dict& dict, std::string_view key);
// Lists and dicts are equal if their elements are; lists and dicts among these, if they are the same object.
bool equal(const Value& a, const Value& b);
// str(value). An error for lists, dicts and namespaces.
Result<std::string> to_text(const Value& value);

}  // namespace jigsaw::jinja
