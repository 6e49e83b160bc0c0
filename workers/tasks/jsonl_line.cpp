#include "workers/tasks/jsonl_line.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/json_nesting.h"

namespace jigsaw {
namespace {

using nlohmann::json;

constexpr std::size_t kMessagesMax = 10000;

Error corrupt(std::string message) { return Error(ErrorCode::kCorrupt, std::move(message)); }

std::string shortened(std::string text) {
  constexpr std::size_t kSize = 160;
  if (text.size() > kSize) text = text.substr(0, kSize) + "...";
  return text;
}

Result<json> parse_object(std::string_view line) {
  if (json_nests_too_deeply(line)) {
    return corrupt("nested deeper than " + std::to_string(kJsonNestingMax) + " levels; flatten the extra fields");
  }
  json object;
  try {
    object = json::parse(line);
  } catch (const json::parse_error& error) {
    // "[json.exception.parse_error.101] parse error at line 1, column 5: what went wrong"
    std::string what = error.what();
    if (const auto column = what.find("column "); column != std::string::npos) {
      if (const auto colon = what.find(": ", column); colon != std::string::npos) what.erase(0, colon + 2);
    }
    return corrupt("not valid JSON at byte " + std::to_string(error.byte) + ": " + shortened(what));
  } catch (const json::exception& error) {
    return corrupt("not valid JSON: " + shortened(error.what()));
  }
  if (!object.is_object()) {
    return corrupt("holds a JSON " + std::string(object.type_name()) +
                   R"(, but each line must be an object such as {"prompt": "2+3=", "answer": "5"})");
  }
  return object;
}

Result<std::vector<ChatMessage>> decode_messages(const json& list) {
  if (!list.is_array() || list.empty()) {
    return corrupt(R"('messages' must be a list such as [{"role": "user", "content": "Hello"}])");
  }
  if (list.size() > kMessagesMax) return corrupt("'messages' holds over " + std::to_string(kMessagesMax) + " messages");
  std::vector<ChatMessage> messages;
  for (const json& entry : list) {
    const std::string place = "messages[" + std::to_string(messages.size()) + "]";
    ChatMessage message;
    for (const char* key : {"role", "content"}) {
      const auto field = entry.is_object() ? entry.find(key) : entry.end();
      if (field == entry.end() || !field->is_string()) {
        return corrupt(place + " must be an object with the strings 'role' and 'content'; '" + key + "' is " +
                       (field == entry.end() ? "missing" : field->type_name()));
      }
      (std::string_view(key) == "role" ? message.role : message.content) = field->get<std::string>();
    }
    if (message.role.empty()) return corrupt(place + " has an empty 'role'; use system, user or assistant");
    messages.push_back(std::move(message));
  }
  if (messages.back().role == "assistant") {
    return corrupt("the last of 'messages' is the assistant's, so nothing is left to say; move it to the answer");
  }
  return messages;
}

Result<std::string> decode_answer(const json& value, const std::string& name) {
  if (value.is_null()) return std::string();
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_float() && std::abs(value.get<double>()) >= 0x1p63) {
    return corrupt("'" + name + "' is too large a number to be kept exactly; write it as a string");
  }
  if (value.is_number()) return value.dump();
  return corrupt("'" + name + "' must be a string or a number, found " + value.type_name());
}

std::string listed_keys(const json& object) {
  std::string keys;
  for (const auto& [key, value] : object.items()) keys += (keys.empty() ? "" : ", ") + key;
  return keys.empty() ? "none" : shortened(keys);
}

}  // namespace

Result<JsonlLine> decode_jsonl_line(std::string_view text, const JsonlFields& fields) {
  JIGSAW_ASSIGN_OR_RETURN(json object, parse_object(text));
  JsonlLine line;
  const bool has_prompt = object.contains(fields.prompt), has_messages = object.contains("messages");
  if (has_prompt && has_messages) {
    return corrupt("has both '" + fields.prompt + "' and 'messages'; keep one of them");
  }
  if (!has_prompt && !has_messages) {
    return corrupt("has neither '" + fields.prompt + "' nor 'messages' (its fields: " + listed_keys(object) +
                   "); add one, or name the right field with the option 'prompt_field'");
  }
  if (has_messages) {
    JIGSAW_ASSIGN_OR_RETURN(line.messages, decode_messages(object["messages"]));
    object.erase("messages");
  } else {
    const json& prompt = object[fields.prompt];
    if (!prompt.is_string()) {
      return corrupt("'" + fields.prompt + "' must be a string, found " + prompt.type_name());
    }
    line.prompt = prompt.get<std::string>();
    if (line.prompt.empty()) return corrupt("'" + fields.prompt + "' is empty; remove the line");
    object.erase(fields.prompt);
  }
  if (const auto answer = object.find(fields.answer); answer != object.end()) {
    JIGSAW_ASSIGN_OR_RETURN(line.answer, decode_answer(*answer, fields.answer));
    object.erase(answer);
  }
  line.extra_json = object.dump();
  return line;
}

}  // namespace jigsaw
