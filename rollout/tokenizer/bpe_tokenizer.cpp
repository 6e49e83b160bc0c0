#include "rollout/tokenizer/bpe_tokenizer.h"

#include <utility>

#include "core/utf8.h"
#include "rollout/tokenizer/json_place.h"
#include "rollout/tokenizer/nfc.h"

namespace jigsaw {
namespace {

// Whether the normalizer is NFC (or a sequence of such); no other kind is known.
Result<bool> normalizes_from_json(const std::optional<JsonPlace>& normalizer) {
  JIGSAW_ASSIGN_OR_RETURN(const std::vector<JsonPlace> steps, sequence_steps(normalizer, "normalizers"));
  for (const JsonPlace& step : steps) {
    JIGSAW_ASSIGN_OR_RETURN(const std::string type, step.type());
    if (type != "NFC") {
      return step.error(ErrorCode::kUnsupported,
                        "type '" + type + "' is not among the normalizers known here: NFC, Sequence");
    }
  }
  return !steps.empty();
}

// Tokens must be joined without anything between them.
Status check_decoder(const std::optional<JsonPlace>& decoder, bool is_byte_level, const JsonPlace& root) {
  if (!decoder && !is_byte_level) {
    return root.error(ErrorCode::kUnsupported, "without a decoder, tokens would be joined by spaces");
  }
  const std::string wanted = is_byte_level ? "ByteLevel" : "Fuse";
  JIGSAW_ASSIGN_OR_RETURN(const std::vector<JsonPlace> steps, sequence_steps(decoder, "decoders"));
  for (const JsonPlace& step : steps) {
    JIGSAW_ASSIGN_OR_RETURN(const std::string type, step.type());
    if (type != wanted) {
      return step.error(ErrorCode::kUnsupported,
                        "type '" + type + "': with this pre-tokenizer, only " + wanted + " is known here");
    }
  }
  return ok_status();
}

Result<ChatTemplate> parse_chat_template(const TokenizerConfig& config) {
  if (!config.chat_template) {
    return Error(ErrorCode::kNotFound,
                 "the tokenizer's files have none, so that prompts must be texts instead of messages");
  }
  return ChatTemplate::parse(*config.chat_template);
}

}  // namespace

BpeTokenizer::BpeTokenizer(TokenizerFiles files, TokenizerConfig config, bool normalizes, AddedTokenFinder raw_tokens,
                           AddedTokenFinder normalized_tokens, PreTokenizer pre_tokenizer, BpeModel model)
    : files_(std::move(files)),
      config_(std::move(config)),
      chat_template_(parse_chat_template(config_)),
      normalizes_(normalizes),
      raw_tokens_(std::move(raw_tokens)),
      normalized_tokens_(std::move(normalized_tokens)),
      pre_tokenizer_(std::move(pre_tokenizer)),
      model_(std::move(model)) {}

Result<std::unique_ptr<Tokenizer>> BpeTokenizer::create(TokenizerFiles files) {
  JIGSAW_ASSIGN_OR_RETURN(TokenizerConfig config, read_tokenizer_config(files));
  const std::string name = files.origin + "/tokenizer.json";
  JIGSAW_ASSIGN_OR_RETURN(const nlohmann::json document, parse_json(files.tokenizer_json, name));
  const JsonPlace root(document, name);
  if (!document.is_object()) return root.error(ErrorCode::kCorrupt, "should be an object");
  JIGSAW_ASSIGN_OR_RETURN(const std::string version, root.string_or("version", "1.0"));
  if (version != "1.0") return root.error(ErrorCode::kUnsupported, "version '" + version + "', not 1.0");

  JIGSAW_ASSIGN_OR_RETURN(const bool normalizes, normalizes_from_json(root.find("normalizer")));
  JIGSAW_ASSIGN_OR_RETURN(PreTokenizer pre_tokenizer, PreTokenizer::from_json(root.find("pre_tokenizer")));
  JIGSAW_RETURN_IF_ERROR(check_decoder(root.find("decoder"), pre_tokenizer.is_byte_level(), root));

  JIGSAW_ASSIGN_OR_RETURN(const JsonPlace model_place, root.member("model"));
  JIGSAW_ASSIGN_OR_RETURN(const JsonPlace vocab, model_place.member("vocab"));
  if (!vocab.value().is_object()) return vocab.error(ErrorCode::kCorrupt, "should be an object of token: id");
  JIGSAW_ASSIGN_OR_RETURN(const std::vector<AddedToken> added, added_tokens_from_json(root, vocab));
  std::vector<AddedToken> raw, normalized;
  std::vector<BpeModel::ExtraToken> extra;
  for (AddedToken token : added) {
    const bool is_extra = !vocab.find(token.content);
    if (token.normalized && normalizes) token.content = to_nfc(token.content);
    if (is_extra) extra.push_back({token.id, token.content});
    (token.normalized ? normalized : raw).push_back(std::move(token));
  }
  JIGSAW_ASSIGN_OR_RETURN(BpeModel model, BpeModel::from_json(model_place, pre_tokenizer.is_byte_level(), extra));
  JIGSAW_ASSIGN_OR_RETURN(AddedTokenFinder raw_tokens, AddedTokenFinder::create(raw));
  JIGSAW_ASSIGN_OR_RETURN(AddedTokenFinder normalized_tokens, AddedTokenFinder::create(normalized));
  return std::unique_ptr<Tokenizer>(new BpeTokenizer(std::move(files), std::move(config), normalizes,
                                                     std::move(raw_tokens), std::move(normalized_tokens),
                                                     std::move(pre_tokenizer), std::move(model)));
}

std::vector<TokenId> BpeTokenizer::encode(std::string_view text) const {
  std::string replaced;
  if (!utf8_is_well_formed(text)) text = replaced = replace_invalid_utf8(text);
  std::vector<TokenId> tokens;
  Scratch scratch;
  std::vector<AddedTokenFinder::Stretch> stretches;
  raw_tokens_.split(text, stretches);
  for (const auto& stretch : stretches) {
    if (stretch.token) {
      tokens.push_back(*stretch.token);
    } else {
      encode_stretch(text.substr(stretch.begin, stretch.end - stretch.begin), scratch, tokens);
    }
  }
  return tokens;
}

std::vector<TokenId> BpeTokenizer::encode_plain(std::string_view text) const {
  std::string replaced = replace_invalid_utf8(text);
  if (normalizes_) replaced = to_nfc(replaced);
  std::vector<TokenId> tokens;
  Scratch scratch;
  encode_normalized(replaced, scratch, tokens);
  return tokens;
}

void BpeTokenizer::encode_stretch(std::string_view text, Scratch& scratch, std::vector<TokenId>& out) const {
  std::string normalized;
  if (normalizes_ && may_change_in_nfc(text)) {
    normalized = to_nfc(text);
    text = normalized;
  }
  scratch.stretches.clear();
  normalized_tokens_.split(text, scratch.stretches);
  for (const auto& stretch : scratch.stretches) {
    if (stretch.token) {
      out.push_back(*stretch.token);
    } else {
      encode_normalized(text.substr(stretch.begin, stretch.end - stretch.begin), scratch, out);
    }
  }
}

void BpeTokenizer::encode_normalized(std::string_view text, Scratch& scratch, std::vector<TokenId>& out) const {
  pre_tokenizer_.split(text, scratch.pieces);
  for (const std::string_view piece : scratch.pieces.pieces) model_.encode(piece, scratch.model, out);
}

Result<std::string> BpeTokenizer::decode(std::span<const TokenId> tokens) const {
  std::string bytes;
  for (const TokenId token : tokens) {
    if (token < 0 || token >= vocab_size()) {
      return Error(ErrorCode::kInvalidArgument, "token " + std::to_string(token) + " is not among the " +
                                                    std::to_string(vocab_size()) + " of " + files_.origin);
    }
    bytes += model_.vocabulary().bytes(token);
  }
  return replace_invalid_utf8(bytes);
}

std::string BpeTokenizer::token_bytes(TokenId token) const { return std::string(model_.vocabulary().bytes(token)); }

int BpeTokenizer::vocab_size() const { return static_cast<int>(model_.vocabulary().num_ids()); }

std::optional<TokenId> BpeTokenizer::token_id(std::string_view text) const {
  for (const AddedTokenFinder* finder : {&raw_tokens_, &normalized_tokens_}) {
    if (const AddedToken* token = finder->find(text)) return token->id;
  }
  return model_.vocabulary().find(text);
}

std::vector<TokenId> BpeTokenizer::eos_tokens() const {
  const auto eos = config_.special_tokens.find("eos_token");
  if (eos == config_.special_tokens.end()) return {};
  const auto id = token_id(eos->second);
  return id ? std::vector{*id} : std::vector<TokenId>();
}

Result<std::string> BpeTokenizer::apply_chat_template(std::span<const ChatMessage> messages) const {
  const auto prompt = chat_template_ ? chat_template_->render(messages, config_.special_tokens)
                                     : Result<std::string>(chat_template_.error());
  if (!prompt) return prompt.error().with_context(files_.origin + ": chat template");
  return prompt;
}

Status BpeTokenizer::save(const std::filesystem::path& folder) const { return write_tokenizer_files(files_, folder); }

}  // namespace jigsaw
