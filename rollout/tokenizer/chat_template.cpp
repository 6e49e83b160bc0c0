#include "rollout/tokenizer/chat_template.h"

#include "core/utf8.h"

namespace jigsaw {

Result<ChatTemplate> ChatTemplate::parse(std::string_view source) {
  JIGSAW_ASSIGN_OR_RETURN(jinja::Template parsed, jinja::Template::parse(source));
  return ChatTemplate(std::move(parsed));
}

Result<std::string> ChatTemplate::render(std::span<const ChatMessage> messages,
                                         const std::map<std::string, std::string>& special_tokens) const {
  jinja::List dialogue;
  for (const ChatMessage& message : messages) {
    dialogue.emplace_back(
        jinja::Dict{{"role", replace_invalid_utf8(message.role)}, {"content", replace_invalid_utf8(message.content)}});
  }
  jinja::Dict variables{{"messages", std::move(dialogue)},
                        {"tools", jinja::None()},
                        {"documents", jinja::None()},
                        {"add_generation_prompt", true}};
  for (const auto& [name, text] : special_tokens) variables.emplace_back(name, text);
  return template_.render(variables);
}

}  // namespace jigsaw
