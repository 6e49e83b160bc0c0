// Reading and writing JSON lines for the commands. Errors name file and line.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/result.h"

namespace jigsaw::cli {

// Calls `on_line` with each non-empty line of `file` ("-" is stdin), an object; stops at the first error, to which
// "file:line" is added.
Status for_each_json_line(const std::string& file, const std::function<Status(const nlohmann::json& line)>& on_line);

// Fields of a line; kInvalidArgument names what was expected.
Result<std::vector<std::int32_t>> token_list(const nlohmann::json& line, const std::string& key);
Result<std::string> text_field(const nlohmann::json& line, const std::string& key);

// One line on stdout. Bytes that are not UTF-8 become U+FFFD.
void print_json_line(const nlohmann::ordered_json& line);

}  // namespace jigsaw::cli
