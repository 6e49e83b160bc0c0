#include "rollout/models/model_files.h"
#include "rollout/tokenizer/bpe_tokenizer.h"
#include "rollout/tokenizer/gguf_tokenizer.h"
#include "tests/fuzz/fuzz_targets.h"
#include "tests/fuzz/memory_file.h"

namespace jigsaw::fuzz {

// As `--model m.gguf` does: the weights, all of them, and the tokenizer.
void gguf(std::string_view bytes) {
  const MemoryFile input(bytes);
  if (!GgufFile::open(input.path()).ok()) return;
  if (const auto tensors = list_tensors(input.path()); tensors.ok()) {
    std::size_t num_bytes = 0;
    for (const StoredTensor& tensor : *tensors) num_bytes += tensor.num_bytes;
    CHECK(num_bytes <= bytes.size());
  }
  (void)load_model(input.path());
  auto file = GgufFile::open(input.path());
  auto files = tokenizer_files_from_gguf(*file);
  if (!files.ok()) return;
  const auto tokenizer = BpeTokenizer::create(*std::move(files));
  if (tokenizer.ok()) (void)(*tokenizer)->decode((*tokenizer)->encode("The 12 quick foxes\n"));
}

}  // namespace jigsaw::fuzz
