// The options of a task: described by a table, parsed from text once, then trusted.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "core/result.h"

namespace jigsaw {

enum class OptionKind { kInteger, kText, kFlag, kChoice };

struct OptionRow {
  std::string_view name;
  OptionKind kind = OptionKind::kText;
  std::string_view fallback;      // the default, as a user would write it
  std::int64_t min = 0, max = 0;  // integer: range of values; text: range of lengths in characters
  std::string_view choices;       // choice: "ascending|descending"
  std::string_view meaning;
  // "0 to 64", "1 to 94 characters", "true or false", "ascending|descending"
  std::string range() const;
};

// The usual rows: what several tasks call by the same name means the same in each.
OptionRow integer_option(std::string_view name, std::string_view fallback, std::int64_t min, std::int64_t max,
                         std::string_view meaning);
OptionRow text_option(std::string_view name, std::string_view fallback, std::int64_t size_min, std::int64_t size_max,
                      std::string_view meaning);
OptionRow flag_option(std::string_view name, std::string_view fallback, std::string_view meaning);
OptionRow choice_option(std::string_view name, std::string_view fallback, std::string_view choices,
                        std::string_view meaning);

class TaskOptions {
 public:
  // All that is wrong comes in one error: unknown names (with the nearest known one), values out of range.
  static Result<TaskOptions> parse(std::string_view task, std::span<const OptionRow> rows,
                                   const std::map<std::string, std::string>& given);

  // The value given or the default. Asking for a name that is not in the table is our bug.
  std::int64_t integer(std::string_view name) const;
  bool flag(std::string_view name) const;
  const std::string& text(std::string_view name) const;  // also of a choice

  // An error that names the task: "task 'sort': <message>".
  Error error(std::string_view message) const;

 private:
  std::string task_;
  std::map<std::string, std::string, std::less<>> values_;
};

}  // namespace jigsaw
