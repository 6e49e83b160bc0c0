#include "workers/rewards/command_protocol.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "workers/rewards/in_quotes.h"

namespace jigsaw {
namespace {

using nlohmann::json;

constexpr std::size_t kPartsMax = 64;
constexpr std::size_t kPartNameBytesMax = 64;
constexpr std::size_t kErrorBytesMax = 500;

std::string json_string(std::string_view text) {
  return json(text).dump(-1, ' ', /*ensure_ascii=*/false, json::error_handler_t::replace);
}

// The JSON library takes a zero byte for the end, and whatever follows for none of its business.
bool has_zero_byte(std::string_view text) { return text.find('\0') != std::string_view::npos; }

// Data lines come as JSON already; what else might be there is sent as an empty object.
std::string json_object(const std::string& text) {
  if (text.empty() || has_zero_byte(text) || !json::accept(text)) return "{}";
  std::string line = text;
  for (char& c : line) {
    if (c == '\n' || c == '\r') c = ' ';  // white space, since strings cannot hold them as such
  }
  return line;
}

Error broken(const std::string& how, std::string_view line) {
  return Error(ErrorCode::kCorrupt, "answered with " + how + ": " + in_quotes(line));
}

bool is_number(const json& value) { return value.is_number() && std::abs(value.get<double>()) <= kRewardMax; }

}  // namespace

std::string encode_command_request(std::uint64_t wire_id, const RewardRequest& request) {
  return "{\"id\":" + std::to_string(wire_id) + ",\"prompt\":" + json_string(request.prompt) +
         ",\"completion\":" + json_string(request.completion) + ",\"answer\":" + json_string(request.answer) +
         ",\"num_tokens\":" + std::to_string(request.num_tokens) +
         ",\"truncated\":" + (request.truncated ? "true" : "false") + ",\"extra\":" + json_object(request.extra_json) +
         "}";
}

Result<CommandReply> decode_command_reply(std::string_view line, std::uint64_t wire_id) {
  const json object = json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (object.is_discarded() || has_zero_byte(line)) return broken("a line that is not JSON", line);
  if (!object.is_object()) return broken(std::string("a JSON ") + object.type_name() + " instead of an object", line);
  const auto id = object.find("id");
  if (id == object.end() || !id->is_number_unsigned() || id->get<std::uint64_t>() != wire_id) {
    return broken("another id than " + std::to_string(wire_id), line);
  }
  CommandReply reply;
  if (const auto error = object.find("error"); error != object.end() && !error->is_null()) {
    reply.error = error->is_string() ? error->get<std::string>().substr(0, kErrorBytesMax)
                                     : error->dump().substr(0, kErrorBytesMax);
    if (reply.error.empty()) reply.error = "it gives no reason";
    return reply;
  }
  const auto reward = object.find("reward");
  if (reward == object.end() || !is_number(*reward)) return broken("no finite number as \"reward\"", line);
  reply.reward = reward->get<double>();
  if (const auto parts = object.find("parts"); parts != object.end() && !parts->is_null()) {
    if (!parts->is_object() || parts->size() > kPartsMax) {
      return broken("\"parts\" that are no object of at most " + std::to_string(kPartsMax) + " numbers", line);
    }
    for (const auto& [name, value] : parts->items()) {
      if (name.size() > kPartNameBytesMax || !is_number(value)) {
        return broken("\"parts\" with something else than finite numbers under short names", line);
      }
      reply.parts.emplace_back(name, value.get<double>());
    }
  }
  return reply;
}

}  // namespace jigsaw
