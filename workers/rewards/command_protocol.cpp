#include "workers/rewards/command_protocol.h"

#include <cmath>

#include "workers/commands/command_lines.h"

namespace jigsaw {
namespace {

using nlohmann::json;

constexpr std::size_t kPartsMax = 64;
constexpr std::size_t kPartNameBytesMax = 64;

bool is_number(const json& value) { return value.is_number() && std::abs(value.get<double>()) <= kRewardMax; }

}  // namespace

std::string encode_command_request(const RewardRequest& request) {
  return "\"prompt\":" + json_string(request.prompt) + ",\"completion\":" + json_string(request.completion) +
         ",\"answer\":" + json_string(request.answer) + ",\"num_tokens\":" + std::to_string(request.num_tokens) +
         ",\"truncated\":" + (request.truncated ? "true" : "false") +
         ",\"extra\":" + json_on_one_line(request.extra_json);
}

Result<CommandReply> decode_command_reply(std::string_view line, std::uint64_t wire_id) {
  JIGSAW_ASSIGN_OR_RETURN(const json object, parse_reply(line, wire_id));
  CommandReply reply;
  reply.error = error_in_reply(object);
  if (!reply.error.empty()) return reply;
  const auto reward = object.find("reward");
  if (reward == object.end() || !is_number(*reward)) return broken_reply("no finite number as \"reward\"", line);
  reply.reward = reward->get<double>();
  if (const auto parts = object.find("parts"); parts != object.end() && !parts->is_null()) {
    if (!parts->is_object() || parts->size() > kPartsMax) {
      return broken_reply("\"parts\" that are no object of at most " + std::to_string(kPartsMax) + " numbers", line);
    }
    for (const auto& [name, value] : parts->items()) {
      if (name.size() > kPartNameBytesMax || !is_number(value)) {
        return broken_reply("\"parts\" with something else than finite numbers under short names", line);
      }
      reply.parts.emplace_back(name, value.get<double>());
    }
  }
  return reply;
}

}  // namespace jigsaw
