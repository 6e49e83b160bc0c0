#include <cmath>
#include <nlohmann/json.hpp>

#include "core/check.h"
#include "tests/fuzz/fuzz_targets.h"
#include "workers/commands/command_lines.h"
#include "workers/rewards/command_protocol.h"

namespace jigsaw::fuzz {

// What a program answers; and what it is asked, when a policy has written the same bytes.
void command_reply(std::string_view bytes) {
  const auto reply = decode_command_reply(bytes, 7);
  if (reply.ok()) {
    CHECK(std::abs(reply->reward) <= kRewardMax);
    for (const auto& [name, value] : reply->parts) CHECK(std::abs(value) <= kRewardMax);
  }
  RewardRequest request;
  request.prompt = request.completion = request.answer = request.extra_json = bytes;
  const std::string line = request_line(7, encode_command_request(request));
  CHECK(line.find('\n') == std::string::npos);
  const auto object = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
  CHECK(object.is_object() && object["id"] == 7 && object["completion"].is_string());
}

}  // namespace jigsaw::fuzz
