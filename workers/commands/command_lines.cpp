#include "workers/commands/command_lines.h"

#include "core/in_quotes.h"
#include "core/json_nesting.h"

namespace jigsaw {

using nlohmann::json;

std::string request_line(std::uint64_t wire_id, std::string_view fields) {
  return "{\"id\":" + std::to_string(wire_id) + "," + std::string(fields) + "}";
}

std::string json_string(std::string_view text) {
  return json(text).dump(-1, ' ', /*ensure_ascii=*/false, json::error_handler_t::replace);
}

std::string json_on_one_line(const std::string& text) {
  if (text.empty() || has_zero_byte(text) || !json::accept(text)) return "{}";
  std::string line = text;
  for (char& c : line) {
    if (c == '\n' || c == '\r') c = ' ';  // white space, since strings cannot hold them as such
  }
  return line;
}

Result<json> parse_reply(std::string_view line, std::uint64_t wire_id) {
  if (json_nests_too_deeply(line)) return broken_reply("a line that nests too deeply", line);
  json reply = json::parse(line, nullptr, /*allow_exceptions=*/false);
  // The JSON library takes a zero byte for the end, and whatever follows for none of its business.
  if (reply.is_discarded() || has_zero_byte(line)) return broken_reply("a line that is not JSON", line);
  if (!reply.is_object()) {
    return broken_reply(std::string("a JSON ") + reply.type_name() + " instead of an object", line);
  }
  const auto id = reply.find("id");
  if (id == reply.end() || !id->is_number_unsigned() || id->get<std::uint64_t>() != wire_id) {
    return broken_reply("another id than " + std::to_string(wire_id), line);
  }
  return reply;
}

Error broken_reply(const std::string& how, std::string_view line) {
  return Error(ErrorCode::kCorrupt, "answered with " + how + ": " + in_quotes(line));
}

std::string error_in_reply(const json& reply) {
  constexpr std::size_t kBytesMax = 500;
  const auto error = reply.find("error");
  if (error == reply.end() || error->is_null()) return "";
  const std::string text = (error->is_string() ? error->get<std::string>() : error->dump()).substr(0, kBytesMax);
  return text.empty() ? "it gives no reason" : text;
}

bool has_zero_byte(std::string_view text) { return text.find('\0') != std::string_view::npos; }

}  // namespace jigsaw
