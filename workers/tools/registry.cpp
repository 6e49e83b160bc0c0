// The table of tools. A new one is a file beside this one and a row here.
#include <algorithm>

#include "core/nearest_name.h"
#include "workers/tools/calculator.h"
#include "workers/tools/command_tool.h"

namespace jigsaw {
namespace {

struct ToolRow {
  std::string_view type;
  std::vector<std::string> fields;  // that the type uses besides those of all tools
  Result<std::unique_ptr<Tool>> (*make)(const ToolConfig& config, const Clock& clock);
};

Result<std::unique_ptr<Tool>> make_calculator(const ToolConfig& config, const Clock&) {
  return std::unique_ptr<Tool>(std::make_unique<Calculator>(config));
}

const std::vector<ToolRow>& tool_rows() {
  static const std::vector<ToolRow> rows = {{"calculator", {}, &make_calculator},
                                            {"command", command_fields(), &make_command_tool}};
  return rows;
}

Error bad_config(const ToolConfig& config, const std::string& message) {
  return Error(ErrorCode::kInvalidArgument, "tool '" + config.type + "': " + message);
}

}  // namespace

std::vector<std::string> tool_types() {
  std::vector<std::string> types;
  for (const ToolRow& row : tool_rows()) types.emplace_back(row.type);
  return types;
}

Result<std::unique_ptr<Tool>> make_tool(const ToolConfig& config, const Clock& clock) {
  const auto row = std::ranges::find(tool_rows(), config.type, &ToolRow::type);
  if (row == tool_rows().end()) return bad_config(config, unknown_name_message("type", config.type, tool_types()));
  for (const std::string& field : changed_command_fields(config.command)) {
    if (std::ranges::find(row->fields, field) == row->fields.end()) {
      return bad_config(config, "this type does not use '" + field + "'");
    }
  }
  if (config.on_error != "value" && config.on_error != "fail") {
    return bad_config(config, "on_error is '" + config.on_error + "', but must be value or fail");
  }
  return row->make(config, clock);
}

}  // namespace jigsaw
