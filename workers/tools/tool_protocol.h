// What goes over the pipes of a command tool: one JSON object a line, see README.md. Pure; any bytes are safe.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/result.h"
#include "workers/tools/tool.h"

namespace jigsaw {

// What comes after the id (request_line()): "call":"..","call_index":0,"prompt":"..","completion":"..","extra":{}
std::string encode_tool_request(const ToolRequest& request);

struct ToolAnswer {
  std::string answer;  // valid UTF-8, without zero bytes
  std::string error;   // not empty: the program itself says that it has no answer
};

// Bytes that are not UTF-8 become U+FFFD. The error says in what way the line breaks the protocol, and shows its
// beginning.
Result<ToolAnswer> decode_tool_reply(std::string_view line, std::uint64_t wire_id);

}  // namespace jigsaw
