// What goes over the pipes of a command reward: one JSON object a line, see README.md. Pure; any bytes are safe.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/result.h"
#include "workers/rewards/reward.h"

namespace jigsaw {

// {"id":1,"prompt":"..","completion":"..","answer":"..","num_tokens":5,"truncated":false,"extra":{}}, keys always in
// this order and without white space between them, so that a shell script can cut it. Bytes that are not UTF-8 become
// U+FFFD.
std::string encode_command_request(std::uint64_t wire_id, const RewardRequest& request);

struct CommandReply {
  double reward = 0;
  std::vector<std::pair<std::string, double>> parts;
  std::string error;  // not empty: the program itself says that it cannot judge this completion
};

// The error says in what way the line breaks the protocol, and shows its beginning.
Result<CommandReply> decode_command_reply(std::string_view line, std::uint64_t wire_id);

}  // namespace jigsaw
