#include "rollout/models/gguf_file.h"
#include "rollout/tokenizer/bpe_tokenizer.h"
#include "rollout/tokenizer/gguf_tokenizer.h"
#include "rollout/tokenizer/tokenizer.h"
#include "rollout/tokenizer/tokenizer_files.h"

namespace jigsaw {

Result<std::unique_ptr<Tokenizer>> load_tokenizer(const std::filesystem::path& path) {
  if (std::filesystem::is_directory(path)) {
    JIGSAW_ASSIGN_OR_RETURN(TokenizerFiles files, read_tokenizer_files(path));
    return BpeTokenizer::create(std::move(files));
  }
  if (!std::filesystem::exists(path)) return Error(ErrorCode::kNotFound, path.string() + ": no such file or folder");
  JIGSAW_ASSIGN_OR_RETURN(const GgufFile gguf, GgufFile::open(path));
  JIGSAW_ASSIGN_OR_RETURN(TokenizerFiles files, tokenizer_files_from_gguf(gguf));
  return BpeTokenizer::create(std::move(files));
}

}  // namespace jigsaw
