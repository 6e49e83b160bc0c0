// Operators, filters, tests and methods of templates, on plain values. Pure functions; their errors name no line, which
// the renderer adds.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/result.h"
#include "rollout/tokenizer/jinja/value.h"

namespace jigsaw::jinja {

struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> keywords;
};

Result<Value> negate(const Value& value);
// + - * / // % ~
Result<Value> binary(std::string_view name, const Value& left, const Value& right);
// == != < > <= >= in, not in
Result<bool> compare(std::string_view name, const Value& left, const Value& right);
// object[index] and object.name, which is undefined where there is none.
Result<Value> item(const Value& object, const Value& index);
Result<Value> attribute(const Value& object, const std::string& name);
Result<Value> slice(const Value& object, const std::optional<std::int64_t>& start,
                    const std::optional<std::int64_t>& stop, std::int64_t step);
// What a loop goes through.
Result<List> iterate(const Value& value);

Result<Value> filter(const std::string& name, const Value& value, const Arguments& arguments);
Result<bool> test(const std::string& name, const Value& value, const std::vector<Value>& arguments);
Result<Value> method(const Value& object, const std::string& name, const Arguments& arguments);

}  // namespace jigsaw::jinja
