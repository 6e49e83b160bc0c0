#include "workers/tasks/task_options.h"

#include <charconv>
#include <optional>
#include <vector>

#include "core/nearest_name.h"
#include "core/utf8.h"

namespace jigsaw {
namespace {

std::optional<std::int64_t> parse_integer(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

bool is_choice(std::string_view value, std::string_view choices) {
  while (true) {
    const std::size_t bar = choices.find('|');
    if (value == choices.substr(0, bar)) return true;
    if (bar == std::string_view::npos) return false;
    choices.remove_prefix(bar + 1);
  }
}

bool fits(const OptionRow& row, std::string_view value) {
  switch (row.kind) {
    case OptionKind::kInteger: {
      const auto number = parse_integer(value);
      return number && *number >= row.min && *number <= row.max;
    }
    case OptionKind::kText: {
      const auto size = static_cast<std::int64_t>(utf8_characters(value).size());
      return utf8_is_well_formed(value) && size >= row.min && size <= row.max;
    }
    case OptionKind::kFlag: return value == "true" || value == "false";
    case OptionKind::kChoice: return is_choice(value, row.choices);
  }
  return false;
}

}  // namespace

std::string OptionRow::range() const {
  switch (kind) {
    case OptionKind::kInteger: return std::to_string(min) + " to " + std::to_string(max);
    case OptionKind::kText: return std::to_string(min) + " to " + std::to_string(max) + " characters";
    case OptionKind::kFlag: return "true or false";
    case OptionKind::kChoice: return "one of " + std::string(choices);
  }
  return "";
}

OptionRow integer_option(std::string_view name, std::string_view fallback, std::int64_t min, std::int64_t max,
                         std::string_view meaning) {
  return {name, OptionKind::kInteger, fallback, min, max, {}, meaning};
}

OptionRow text_option(std::string_view name, std::string_view fallback, std::int64_t size_min, std::int64_t size_max,
                      std::string_view meaning) {
  return {name, OptionKind::kText, fallback, size_min, size_max, {}, meaning};
}

OptionRow flag_option(std::string_view name, std::string_view fallback, std::string_view meaning) {
  return {name, OptionKind::kFlag, fallback, 0, 0, {}, meaning};
}

OptionRow choice_option(std::string_view name, std::string_view fallback, std::string_view choices,
                        std::string_view meaning) {
  return {name, OptionKind::kChoice, fallback, 0, 0, choices, meaning};
}

Result<TaskOptions> TaskOptions::parse(std::string_view task, std::span<const OptionRow> rows,
                                       const std::map<std::string, std::string>& given) {
  TaskOptions options;
  options.task_ = task;
  std::vector<std::string> names;
  for (const OptionRow& row : rows) {
    CHECK_MSG(fits(row, row.fallback), "default of option " + std::string(row.name));
    names.emplace_back(row.name);
    options.values_.emplace(row.name, row.fallback);
  }
  std::string problems;
  const auto add_problem = [&](const std::string& problem) { problems += (problems.empty() ? "" : "; ") + problem; };
  for (const auto& [name, value] : given) {
    const OptionRow* known = nullptr;
    for (const OptionRow& row : rows) {
      if (row.name == name) known = &row;
    }
    if (known == nullptr) {
      add_problem(unknown_name_message("option", name, names));
    } else if (!fits(*known, value)) {
      add_problem("option '" + name + "' is '" + value + "', but must be " + known->range() + " (" +
                  std::string(known->meaning) + ")");
    } else {
      options.values_.insert_or_assign(name, value);
    }
  }
  if (!problems.empty()) return options.error(problems);
  return options;
}

std::int64_t TaskOptions::integer(std::string_view name) const {
  const auto value = parse_integer(text(name));
  CHECK(value.has_value());
  return *value;
}

bool TaskOptions::flag(std::string_view name) const { return text(name) == "true"; }

const std::string& TaskOptions::text(std::string_view name) const {
  const auto found = values_.find(name);
  CHECK_MSG(found != values_.end(), "no option " + std::string(name));
  return found->second;
}

Error TaskOptions::error(std::string_view message) const {
  return Error(ErrorCode::kInvalidArgument, "task '" + task_ + "': " + std::string(message));
}

}  // namespace jigsaw
