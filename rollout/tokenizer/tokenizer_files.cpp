#include "rollout/tokenizer/tokenizer_files.h"

#include "core/files.h"
#include "rollout/tokenizer/json_place.h"

namespace jigsaw {
namespace {

using nlohmann::json;

// Twice the largest tokenizer.json seen (33 MB).
constexpr std::uint64_t kTokenizerBytesMax = 64 << 20;
constexpr std::uint64_t kConfigBytesMax = 8 << 20;

constexpr const char* kTokenizer = "tokenizer.json";
constexpr const char* kConfig = "tokenizer_config.json";
constexpr const char* kChatTemplate = "chat_template.jinja";

Result<std::string> read_optional(const std::filesystem::path& path) {
  if (!std::filesystem::exists(path)) return std::string();
  return read_text_file(path, kConfigBytesMax);
}

}  // namespace

Result<TokenizerFiles> read_tokenizer_files(const std::filesystem::path& folder) {
  if (!std::filesystem::exists(folder / kTokenizer)) {
    return Error(ErrorCode::kNotFound, folder.string() +
                                           ": has no tokenizer.json; only tokenizers of that kind are known"
                                           " here (transformers' save_pretrained writes one)");
  }
  TokenizerFiles files;
  files.origin = folder.string();
  JIGSAW_ASSIGN_OR_RETURN(files.tokenizer_json, read_text_file(folder / kTokenizer, kTokenizerBytesMax));
  JIGSAW_ASSIGN_OR_RETURN(files.tokenizer_config_json, read_optional(folder / kConfig));
  JIGSAW_ASSIGN_OR_RETURN(files.chat_template_jinja, read_optional(folder / kChatTemplate));
  return files;
}

Status write_tokenizer_files(const TokenizerFiles& files, const std::filesystem::path& folder) {
  JIGSAW_RETURN_IF_ERROR(write_file_atomically(folder / kTokenizer, files.tokenizer_json));
  if (!files.tokenizer_config_json.empty()) {
    JIGSAW_RETURN_IF_ERROR(write_file_atomically(folder / kConfig, files.tokenizer_config_json));
  }
  if (!files.chat_template_jinja.empty()) {
    JIGSAW_RETURN_IF_ERROR(write_file_atomically(folder / kChatTemplate, files.chat_template_jinja));
  }
  return ok_status();
}

std::string make_tokenizer_json(const TokenizerParts& parts) {
  const auto quoted = [](const std::string& text) { return json(text).dump(); };
  json added = json::array();
  for (const AddedToken& token : parts.added_tokens) {
    added.push_back({{"id", token.id},
                     {"content", token.content},
                     {"single_word", token.single_word},
                     {"lstrip", token.lstrip},
                     {"rstrip", token.rstrip},
                     {"normalized", token.normalized},
                     {"special", token.special}});
  }
  // By hand, since the vocabulary is to stand in the order of its ids, and "type" before it.
  std::string text = R"({"version":"1.0","truncation":null,"padding":null,"added_tokens":)" + added.dump() +
                     R"(,"normalizer":)" + parts.normalizer.dump() + R"(,"pre_tokenizer":)" +
                     parts.pre_tokenizer.dump() + R"(,"post_processor":null,"decoder":)" + parts.decoder.dump() +
                     R"(,"model":{"type":"BPE","dropout":null,"unk_token":null,"continuing_subword_prefix":null,)" +
                     R"("end_of_word_suffix":null,"fuse_unk":false,"byte_fallback":false,"ignore_merges":)" +
                     (parts.ignore_merges ? "true" : "false") + R"(,"vocab":{)";
  for (std::size_t id = 0; id < parts.tokens.size(); ++id) {
    text += (id > 0 ? "," : "") + quoted(parts.tokens[id]) + ":" + std::to_string(id);
  }
  text += R"(},"merges":[)";
  for (std::size_t i = 0; i < parts.merges.size(); ++i) text += (i > 0 ? "," : "") + quoted(parts.merges[i]);
  text += "]}}";
  return text;
}

}  // namespace jigsaw
