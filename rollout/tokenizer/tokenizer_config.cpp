#include "rollout/tokenizer/tokenizer_config.h"

#include "rollout/tokenizer/json_place.h"

namespace jigsaw {
namespace {

// A text, or an object with the text in "content".
Result<std::string> token_text(const JsonPlace& place) {
  if (!place.value().is_object()) return place.string();
  JIGSAW_ASSIGN_OR_RETURN(const JsonPlace content, place.member("content"));
  return content.string();
}

// A text, or a list of {name, template}, of which the one named "default" counts.
Result<std::optional<std::string>> template_text(const JsonPlace& place) {
  if (!place.value().is_array()) {
    JIGSAW_ASSIGN_OR_RETURN(std::string text, place.string());
    return std::optional(std::move(text));
  }
  JIGSAW_ASSIGN_OR_RETURN(const std::vector<JsonPlace> elements, place.elements());
  for (const JsonPlace& element : elements) {
    JIGSAW_ASSIGN_OR_RETURN(const JsonPlace name_place, element.member("name"));
    JIGSAW_ASSIGN_OR_RETURN(const std::string name, name_place.string());
    if (name != "default") continue;
    JIGSAW_ASSIGN_OR_RETURN(const JsonPlace text_place, element.member("template"));
    JIGSAW_ASSIGN_OR_RETURN(std::string text, text_place.string());
    return std::optional(std::move(text));
  }
  return std::optional<std::string>();
}

}  // namespace

Result<TokenizerConfig> read_tokenizer_config(const TokenizerFiles& files) {
  TokenizerConfig config;
  if (!files.tokenizer_config_json.empty()) {
    const std::string name = files.origin + "/tokenizer_config.json";
    JIGSAW_ASSIGN_OR_RETURN(const nlohmann::json document, parse_json(files.tokenizer_config_json, name));
    const JsonPlace root(document, name);
    if (!document.is_object()) return root.error(ErrorCode::kCorrupt, "should be an object");
    for (const char* key :
         {"bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"}) {
      const auto place = root.find(key);
      if (!place) continue;
      JIGSAW_ASSIGN_OR_RETURN(config.special_tokens[key], token_text(*place));
    }
    if (const auto place = root.find("chat_template")) {
      JIGSAW_ASSIGN_OR_RETURN(config.chat_template, template_text(*place));
    }
  }
  if (!files.chat_template_jinja.empty()) config.chat_template = files.chat_template_jinja;
  return config;
}

}  // namespace jigsaw
