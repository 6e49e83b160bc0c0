#include "workers/tools/tool_protocol.h"

#include "core/utf8.h"
#include "workers/commands/command_lines.h"

namespace jigsaw {
namespace {

constexpr std::size_t kAnswerBytesMax = 65536;

}  // namespace

std::string encode_tool_request(const ToolRequest& request) {
  return "\"call\":" + json_string(request.call) + ",\"call_index\":" + std::to_string(request.call_index) +
         ",\"prompt\":" + json_string(request.prompt) + ",\"completion\":" + json_string(request.completion) +
         ",\"extra\":" + json_on_one_line(request.extra_json);
}

Result<ToolAnswer> decode_tool_reply(std::string_view line, std::uint64_t wire_id) {
  JIGSAW_ASSIGN_OR_RETURN(const nlohmann::json object, parse_reply(replace_invalid_utf8(line), wire_id));
  ToolAnswer reply;
  reply.error = error_in_reply(object);
  if (!reply.error.empty()) return reply;
  const auto answer = object.find("answer");
  if (answer == object.end() || !answer->is_string()) return broken_reply("no text as \"answer\"", line);
  reply.answer = answer->get<std::string>();
  if (reply.answer.size() > kAnswerBytesMax) {
    return broken_reply("an \"answer\" of over " + std::to_string(kAnswerBytesMax) + " bytes", line);
  }
  if (has_zero_byte(reply.answer)) return broken_reply("a zero byte in its \"answer\"", line);
  return reply;
}

}  // namespace jigsaw
