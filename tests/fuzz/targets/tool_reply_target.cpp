#include <nlohmann/json.hpp>

#include "core/check.h"
#include "core/utf8.h"
#include "tests/fuzz/fuzz_targets.h"
#include "workers/commands/command_lines.h"
#include "workers/tools/tool_protocol.h"

namespace jigsaw::fuzz {

// What a tool's program answers; and what it is asked, when a policy has written the same bytes.
void tool_reply(std::string_view bytes) {
  if (const auto reply = decode_tool_reply(bytes, 7); reply.ok()) {
    CHECK(utf8_is_well_formed(reply->answer) && !has_zero_byte(reply->answer) && reply->answer.size() <= 65536);
  }
  ToolRequest request;
  request.call = request.prompt = request.completion = request.extra_json = bytes;
  const std::string line = request_line(7, encode_tool_request(request));
  CHECK(line.find('\n') == std::string::npos);
  const auto object = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
  CHECK(object.is_object() && object["id"] == 7 && object["call"].is_string());
}

}  // namespace jigsaw::fuzz
