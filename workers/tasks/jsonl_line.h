// One line of a JSONL file, decoded and checked. Pure; any bytes are safe.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "workers/tasks/task.h"

namespace jigsaw {

struct JsonlFields {
  std::string prompt = "prompt";
  std::string answer = "answer";
};

struct JsonlLine {
  std::string prompt;  // empty when `messages` is given
  std::vector<ChatMessage> messages;
  std::string answer;             // numbers as JSON writes them
  std::string extra_json = "{}";  // the other fields
};

// The message of an error says what is wrong with the line and how to mend it; the caller adds file and line number.
Result<JsonlLine> decode_jsonl_line(std::string_view line, const JsonlFields& fields);

}  // namespace jigsaw
