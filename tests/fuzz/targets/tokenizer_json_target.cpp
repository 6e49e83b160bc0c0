#include "core/utf8.h"
#include "rollout/tokenizer/bpe_tokenizer.h"
#include "tests/fuzz/fuzz_targets.h"
#include "tests/fuzz/input_cutter.h"

namespace jigsaw::fuzz {

// tokenizer.json, tokenizer_config.json and a text, with zero bytes between them.
void tokenizer_json(std::string_view bytes) {
  InputCutter input(bytes);
  TokenizerFiles files;
  files.origin = "fuzz";
  files.tokenizer_json = input.until_zero();
  files.tokenizer_config_json = input.until_zero();
  const std::string text = input.empty() ? "Hello, abc 123\n\tworld's \xc3\xa9<x>" : std::string(input.rest());
  const auto tokenizer = BpeTokenizer::create(std::move(files));
  if (!tokenizer.ok()) return;
  const std::vector<TokenId> tokens = (*tokenizer)->encode(text);
  const auto decoded = (*tokenizer)->decode(tokens);
  CHECK_MSG(decoded.ok(), decoded.error().message());  // encode() gives no token that decode() does not know
  CHECK(utf8_is_well_formed(*decoded));
  for (const TokenId token : tokens) CHECK(token >= 0 && token < (*tokenizer)->vocab_size());
  const std::vector<ChatMessage> messages = {{"user", text}};
  (void)(*tokenizer)->apply_chat_template(messages);
}

}  // namespace jigsaw::fuzz
