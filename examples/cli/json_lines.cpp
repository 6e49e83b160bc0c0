#include "examples/cli/json_lines.h"

#include <cstdio>
#include <fstream>
#include <iostream>
#include <limits>

namespace jigsaw::cli {
namespace {

constexpr std::size_t kLineBytesMax = std::size_t{64} << 20;

}  // namespace

Status for_each_json_line(const std::string& file, const std::function<Status(const nlohmann::json&)>& on_line) {
  std::ifstream stream;
  if (file != "-") {
    stream.open(file, std::ios::binary);
    if (!stream) return Error(ErrorCode::kNotFound, file + ": cannot read this file");
  }
  std::istream& input = file == "-" ? std::cin : stream;
  std::string text;
  for (std::int64_t number = 1; std::getline(input, text); ++number) {
    const std::string place = file + ":" + std::to_string(number);
    if (text.find_first_not_of(" \t\r") == std::string::npos) continue;
    if (text.size() > kLineBytesMax)
      return Error(ErrorCode::kInvalidArgument, place + ": the line is longer than 64 MiB");
    const nlohmann::json line = nlohmann::json::parse(text, nullptr, false);
    if (!line.is_object()) return Error(ErrorCode::kInvalidArgument, place + ": expected one JSON object a line");
    if (const Status status = on_line(line); !status.ok()) return status.error().with_context(place);
  }
  return ok_status();
}

Result<std::vector<std::int32_t>> token_list(const nlohmann::json& line, const std::string& key) {
  const auto field = line.find(key);
  if (field == line.end() || !field->is_array()) {
    return Error(ErrorCode::kInvalidArgument, "expected \"" + key + "\", a list of token ids");
  }
  std::vector<std::int32_t> tokens;
  for (const nlohmann::json& item : *field) {
    if (!item.is_number_integer() || item.get<std::int64_t>() < 0 ||
        item.get<std::int64_t>() > std::numeric_limits<std::int32_t>::max()) {
      return Error(ErrorCode::kInvalidArgument,
                   "\"" + key + "\" holds " + item.dump().substr(0, 40) + ", which is no token id");
    }
    tokens.push_back(item.get<std::int32_t>());
  }
  return tokens;
}

Result<std::string> text_field(const nlohmann::json& line, const std::string& key) {
  const auto field = line.find(key);
  if (field == line.end() || !field->is_string())
    return Error(ErrorCode::kInvalidArgument, "expected \"" + key + "\", a text");
  return field->get<std::string>();
}

void print_json_line(const nlohmann::ordered_json& line) {
  const std::string text = line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  std::fprintf(stdout, "%s\n", text.c_str());
  std::fflush(stdout);
}

}  // namespace jigsaw::cli
