#include "core/utf8.h"
#include "rollout/tokenizer/chat_template.h"
#include "tests/fuzz/fuzz_targets.h"
#include "tests/fuzz/input_cutter.h"

namespace jigsaw::fuzz {

// A template, a role and a content, with zero bytes between them.
void chat_template(std::string_view bytes) {
  InputCutter input(bytes);
  const auto parsed = ChatTemplate::parse(input.until_zero());
  if (!parsed.ok()) return;
  const std::string role(input.until_zero()), content(input.rest());
  const std::vector<ChatMessage> messages = {
      {"system", "Be brief."}, {"user", content}, {"assistant", " <think>x</think> 4 "}, {role, "\xff what"}};
  const auto rendered = parsed->render(messages, {{"bos_token", "<s>"}, {"eos_token", "</s>"}});
  if (rendered.ok()) CHECK(utf8_is_well_formed(*rendered));
}

}  // namespace jigsaw::fuzz
