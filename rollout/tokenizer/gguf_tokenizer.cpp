#include "rollout/tokenizer/gguf_tokenizer.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "core/utf8.h"

namespace jigsaw {
namespace {

using nlohmann::json;

// tokenizer.ggml.token_type
constexpr std::int64_t kControl = 3;
constexpr std::int64_t kUserDefined = 4;

// How a GGUF file names the pre-tokenizer of its model, and what that model's own tokenizer.json says. `patterns` split
// one after the other; none stands for GPT-2's pattern.
struct PreTokenizerKind {
  std::string_view name;
  bool splits_digits = false;
  std::vector<std::string_view> patterns = {};
  bool ignore_merges = false;
  bool normalizes = false;
};

constexpr std::string_view kLlama3Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen2Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kTekkenPattern =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)"
    R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)"
    R"(|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

const std::vector<PreTokenizerKind>& known_kinds() {
  static const std::vector<PreTokenizerKind> kinds = {
      // What llama.cpp does for files that name none.
      {.name = "default",
       .patterns = {R"([\p{P}\$\+<=>\^~\|]+)",
                    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S))", R"(\p{N}+)",
                    "[0-9][0-9][0-9]"}},
      {.name = "gpt-2"},
      {.name = "smollm", .splits_digits = true},
      {.name = "starcoder", .splits_digits = true},
      {.name = "llama-bpe", .patterns = {kLlama3Pattern}, .ignore_merges = true},
      {.name = "llama3", .patterns = {kLlama3Pattern}, .ignore_merges = true},
      {.name = "llama-v3", .patterns = {kLlama3Pattern}, .ignore_merges = true},
      // llama.cpp leaves the normalisation out that the models of the Qwen family were trained with.
      {.name = "qwen2", .patterns = {kQwen2Pattern}, .normalizes = true},
      {.name = "deepseek-r1-qwen", .patterns = {kQwen2Pattern}, .normalizes = true},
      {.name = "tekken", .patterns = {kTekkenPattern}, .ignore_merges = true},
  };
  return kinds;
}

json pre_tokenizer_json(const PreTokenizerKind& kind) {
  json steps = json::array();
  if (kind.splits_digits) steps.push_back({{"type", "Digits"}, {"individual_digits", true}});
  for (const std::string_view pattern : kind.patterns) {
    steps.push_back(
        {{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}, {"invert", false}});
  }
  steps.push_back({{"type", "ByteLevel"},
                   {"add_prefix_space", false},
                   {"trim_offsets", true},
                   {"use_regex", kind.patterns.empty()}});
  return {{"type", "Sequence"}, {"pretokenizers", steps}};
}

class Reader {
 public:
  explicit Reader(const GgufFile& gguf) : gguf_(gguf) {}

  Result<TokenizerFiles> read() {
    JIGSAW_ASSIGN_OR_RETURN(const std::string model, gguf_.value<std::string>("tokenizer.ggml.model"));
    if (model != "gpt2") {
      return error(ErrorCode::kUnsupported, "model", "'" + model + "': only byte-level BPE ('gpt2') is known here");
    }
    JIGSAW_RETURN_IF_ERROR(read_tokens());
    JIGSAW_RETURN_IF_ERROR(read_added_tokens());
    JIGSAW_ASSIGN_OR_RETURN(parts_.merges, gguf_.value<std::vector<std::string>>("tokenizer.ggml.merges"));
    for (const std::string& merge : parts_.merges) JIGSAW_RETURN_IF_ERROR(check_utf8("merges", merge));
    JIGSAW_RETURN_IF_ERROR(choose_pre_tokenizer());
    parts_.decoder = {{"type", "ByteLevel"}, {"add_prefix_space", true}, {"trim_offsets", true}, {"use_regex", true}};
    JIGSAW_ASSIGN_OR_RETURN(const json config, config_json());
    return TokenizerFiles{gguf_.path().string(), make_tokenizer_json(parts_), config.dump(2) + "\n", ""};
  }

 private:
  Error error(ErrorCode code, std::string_view key, std::string_view what) const {
    return Error(code, gguf_.path().string() + ": tokenizer.ggml." + std::string(key) + ": " + std::string(what));
  }

  Status check_utf8(std::string_view key, std::string_view text) const {
    if (utf8_is_well_formed(text)) return ok_status();
    return error(ErrorCode::kCorrupt, key,
                 "has an entry that is not valid UTF-8: '" + replace_invalid_utf8(text) + "'");
  }

  Status read_tokens() {
    JIGSAW_ASSIGN_OR_RETURN(parts_.tokens, gguf_.value<std::vector<std::string>>("tokenizer.ggml.tokens"));
    std::unordered_map<std::string_view, std::size_t> ids;
    for (std::size_t id = 0; id < parts_.tokens.size(); ++id) {
      JIGSAW_RETURN_IF_ERROR(check_utf8("tokens", parts_.tokens[id]));
      const auto [first, is_new] = ids.emplace(parts_.tokens[id], id);
      if (!is_new) {
        return error(
            ErrorCode::kCorrupt, "tokens",
            "'" + parts_.tokens[id] + "' has ids " + std::to_string(first->second) + " and " + std::to_string(id));
      }
    }
    return ok_status();
  }

  Status read_added_tokens() {
    JIGSAW_ASSIGN_OR_RETURN(const auto types,
                            gguf_.optional_value<std::vector<std::int64_t>>("tokenizer.ggml.token_type"));
    if (!types) return ok_status();
    if (types->size() != parts_.tokens.size()) {
      return error(
          ErrorCode::kCorrupt, "token_type",
          "has " + std::to_string(types->size()) + " entries for " + std::to_string(parts_.tokens.size()) + " tokens");
    }
    for (std::size_t id = 0; id < types->size(); ++id) {
      const std::int64_t type = (*types)[id];
      if (type != kControl && type != kUserDefined) continue;
      AddedToken token;
      token.id = static_cast<TokenId>(id);
      token.content = parts_.tokens[id];
      token.special = type == kControl;
      parts_.added_tokens.push_back(std::move(token));
    }
    return ok_status();
  }

  Status choose_pre_tokenizer() {
    JIGSAW_ASSIGN_OR_RETURN(const auto name, gguf_.optional_value<std::string>("tokenizer.ggml.pre"));
    const auto& kinds = known_kinds();
    const auto kind = std::find_if(kinds.begin(), kinds.end(),
                                   [&](const auto& known) { return known.name == name.value_or("default"); });
    if (kind == kinds.end()) {
      std::string names;
      for (const auto& known : kinds) names += (names.empty() ? "" : ", ") + std::string(known.name);
      return error(ErrorCode::kUnsupported, "pre",
                   "'" + *name + "' is not among the pre-tokenizers known here: " + names);
    }
    parts_.pre_tokenizer = pre_tokenizer_json(*kind);
    if (kind->normalizes) parts_.normalizer = {{"type", "NFC"}};
    parts_.ignore_merges = kind->ignore_merges;
    return ok_status();
  }

  // tokenizer_config.json
  Result<json> config_json() {
    json config = {{"tokenizer_class", "PreTrainedTokenizerFast"}, {"clean_up_tokenization_spaces", false}};
    constexpr std::pair<const char*, const char*> kSpecial[] = {{"bos_token", "bos_token_id"},
                                                                {"eos_token", "eos_token_id"},
                                                                {"unk_token", "unknown_token_id"},
                                                                {"pad_token", "padding_token_id"}};
    for (const auto& [name, key] : kSpecial) {
      JIGSAW_ASSIGN_OR_RETURN(const auto id, gguf_.optional_value<std::int64_t>("tokenizer.ggml." + std::string(key)));
      if (!id) continue;
      if (*id < 0 || *id >= static_cast<std::int64_t>(parts_.tokens.size())) {
        return error(ErrorCode::kCorrupt, key, std::to_string(*id) + " is no token");
      }
      config[name] = parts_.tokens[static_cast<std::size_t>(*id)];
    }
    JIGSAW_ASSIGN_OR_RETURN(const auto chat_template, gguf_.optional_value<std::string>("tokenizer.chat_template"));
    if (chat_template) config["chat_template"] = replace_invalid_utf8(*chat_template);
    return config;
  }

  const GgufFile& gguf_;
  TokenizerParts parts_;
};

}  // namespace

Result<TokenizerFiles> tokenizer_files_from_gguf(const GgufFile& gguf) { return Reader(gguf).read(); }

}  // namespace jigsaw
