#include "core/utf8.h"
#include "rollout/tokenizer/tokenizer.h"
#include "tests/fuzz/fuzz_targets.h"

namespace jigsaw::fuzz {
namespace {

std::unique_ptr<Tokenizer> golden(const char* name) {
  auto tokenizer = load_tokenizer(std::string(JIGSAW_SOURCE_DIR "/tests/rollout/tokenizer/golden/") + name);
  CHECK_MSG(tokenizer.ok(), tokenizer.error().message());
  return *std::move(tokenizer);
}

std::string there_and_back(const Tokenizer& tokenizer, std::string_view text) {
  const auto decoded = tokenizer.decode(tokenizer.encode(text));
  CHECK_MSG(decoded.ok(), decoded.error().message());
  CHECK(utf8_is_well_formed(*decoded));
  return *decoded;
}

}  // namespace

void tokenizer_text(std::string_view bytes) {
  // One that holds every byte and takes no white space away, so that no text is lost; one with added tokens that take
  // it, one that lacks bytes and one that normalises.
  static const auto whole = golden("llama3"), taking = golden("gpt2"), lacking = golden("smollm"),
                    nfc = golden("qwen2");
  CHECK(there_and_back(*whole, bytes) == replace_invalid_utf8(bytes));
  for (const auto* tokenizer : {taking.get(), lacking.get(), nfc.get()}) (void)there_and_back(*tokenizer, bytes);
}

}  // namespace jigsaw::fuzz
