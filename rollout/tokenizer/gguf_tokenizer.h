// The tokenizer that a GGUF file carries in its metadata (tokenizer.ggml.*), as Hugging Face files.
#pragma once

#include "core/result.h"
#include "rollout/models/gguf_file.h"
#include "rollout/tokenizer/tokenizer_files.h"

namespace jigsaw {

// Byte-level BPE only (tokenizer.ggml.model "gpt2"), with the pre-tokenizers of the table in gguf_tokenizer.cpp.
Result<TokenizerFiles> tokenizer_files_from_gguf(const GgufFile& gguf);

}  // namespace jigsaw
