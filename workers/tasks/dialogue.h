// How a task's text becomes a prompt: plain, or a dialogue for the chat template. Pure functions.
#pragma once

#include <string>
#include <vector>

#include "workers/tasks/task.h"

namespace jigsaw {

// Whether `config` makes plain prompts into dialogues: by `chat` or a system prompt.
bool makes_dialogues(const TaskConfig& config);

// Fills in the prompt's text or, for a dialogue, its messages.
void set_text(const TaskConfig& config, std::string text, Prompt& prompt);
// Fills in messages. Those that begin with a system message of their own keep it.
void set_messages(const TaskConfig& config, std::vector<ChatMessage> messages, Prompt& prompt);

}  // namespace jigsaw
