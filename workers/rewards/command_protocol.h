// What goes over the pipes of a command reward: one JSON object a line, see README.md. Pure; any bytes are safe.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/result.h"
#include "workers/rewards/reward.h"

namespace jigsaw {

// What comes after the id (request_line()): "prompt":"..","completion":"..","answer":"..","num_tokens":5,
// "truncated":false,"extra":{}
std::string encode_command_request(const RewardRequest& request);

struct CommandReply {
  double reward = 0;
  std::vector<std::pair<std::string, double>> parts;
  std::string error;  // not empty: the program itself says that it cannot judge this completion
};

// The error says in what way the line breaks the protocol, and shows its beginning.
Result<CommandReply> decode_command_reply(std::string_view line, std::uint64_t wire_id);

}  // namespace jigsaw
