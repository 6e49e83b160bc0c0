// How we talk with external commands: one JSON object a line. A request begins with "id", a number that its reply
// repeats; keys are always in the same order and without white space between them, so that a shell script can cut it.
// Pure; any bytes are safe.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "core/result.h"

namespace jigsaw {

// `fields` are what comes after the id: "a":1,"b":"x"
std::string request_line(std::uint64_t wire_id, std::string_view fields);

// In quotes and escaped. Bytes that are not UTF-8 become U+FFFD.
std::string json_string(std::string_view text);
// Data lines come as JSON already, which is put on one line; what else might be there is an empty object.
std::string json_on_one_line(const std::string& text);

// The object of a line that replies to `wire_id`. The error says in what way the line breaks the protocol, and shows
// its beginning.
Result<nlohmann::json> parse_reply(std::string_view line, std::uint64_t wire_id);
Error broken_reply(const std::string& how, std::string_view line);

// The program's own word that it has no answer, and why; empty when it has one.
std::string error_in_reply(const nlohmann::json& reply);

bool has_zero_byte(std::string_view text);

}  // namespace jigsaw
