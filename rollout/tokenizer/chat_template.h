// A model's chat template: dialogue -> prompt text, as transformers' apply_chat_template(add_generation_prompt=True)
// renders it. Immutable once parsed; may be used from several threads.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>

#include "core/result.h"
#include "rollout/tokenizer/jinja/template.h"
#include "rollout/tokenizer/tokenizer.h"

namespace jigsaw {

class ChatTemplate {
 public:
  // Errors as jinja::Template's.
  static Result<ChatTemplate> parse(std::string_view source);

  // `special_tokens`: the texts of "bos_token" and so on. Tools and documents are none. Roles and contents that are no
  // valid UTF-8 get U+FFFD in place of what is invalid.
  Result<std::string> render(std::span<const ChatMessage> messages,
                             const std::map<std::string, std::string>& special_tokens) const;

 private:
  explicit ChatTemplate(jinja::Template parsed) : template_(std::move(parsed)) {}
  jinja::Template template_;
};

}  // namespace jigsaw
