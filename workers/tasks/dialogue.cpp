#include "workers/tasks/dialogue.h"

namespace jigsaw {

bool makes_dialogues(const TaskConfig& config) { return config.chat || !config.system_prompt.empty(); }

void set_text(const TaskConfig& config, std::string text, Prompt& prompt) {
  if (makes_dialogues(config)) {
    set_messages(config, {{"user", std::move(text)}}, prompt);
  } else {
    prompt.text = std::move(text);
  }
}

void set_messages(const TaskConfig& config, std::vector<ChatMessage> messages, Prompt& prompt) {
  const bool has_system = !messages.empty() && messages.front().role == "system";
  if (!config.system_prompt.empty() && !has_system) {
    messages.insert(messages.begin(), ChatMessage{"system", config.system_prompt});
  }
  prompt.messages = std::move(messages);
}

}  // namespace jigsaw
