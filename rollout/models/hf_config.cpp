#include "rollout/models/hf_config.h"

#include <charconv>
#include <string>
#include <system_error>
#include <utility>

#include "core/check.h"
#include "rollout/models/families/family.h"
#include "rollout/models/hf_rope.h"
#include "rollout/models/json_file.h"

namespace jigsaw {
namespace {

constexpr std::size_t kConfigBytesMax = 1 << 20;

// A token id or a list of them. Negative ids, with which some configs say "none", are left out.
Result<std::vector<int>> read_token_ids(const JsonFields& fields, std::string_view key) {
  std::vector<int> ids;
  const nlohmann::json* value = fields.find(key);
  if (value == nullptr) return ids;
  const nlohmann::json list = value->is_array() ? *value : nlohmann::json::array({*value});
  for (const nlohmann::json& id : list) {
    if (!id.is_number_integer() || id > std::numeric_limits<int>::max()) {
      return fields.error(ErrorCode::kCorrupt, key, "must be a token id or a list of them");
    }
    if (id >= 0) ids.push_back(id.get<int>());
  }
  return ids;
}

// generation_config.json's end tokens replace those of config.json where it names any: transformers stops at them.
Result<std::vector<int>> read_eos_tokens(const std::filesystem::path& folder, const JsonFields& fields,
                                         const ModelFamily& family) {
  const std::filesystem::path generation_path = folder / "generation_config.json";
  std::error_code ignored;
  if (std::filesystem::exists(generation_path, ignored)) {
    JIGSAW_ASSIGN_OR_RETURN(const nlohmann::json json, read_json_object(generation_path, kConfigBytesMax));
    JIGSAW_ASSIGN_OR_RETURN(std::vector<int> ids,
                            read_token_ids(JsonFields(json, generation_path.string()), "eos_token_id"));
    if (!ids.empty()) return ids;
  }
  JIGSAW_ASSIGN_OR_RETURN(std::vector<int> ids, read_token_ids(fields, "eos_token_id"));
  const bool absent = fields.find("eos_token_id") == nullptr && !fields.is_null("eos_token_id");
  if (absent && family.default_eos >= 0) ids.push_back(family.default_eos);
  return ids;
}

Status read_bos_token(const JsonFields& fields, const ModelFamily& family, ModelConfig& config) {
  if (fields.is_null("bos_token_id")) return ok_status();
  JIGSAW_ASSIGN_OR_RETURN(config.bos_token, fields.integer("bos_token_id", family.default_bos, -1));
  return ok_status();
}

Status read_dimensions(const JsonFields& fields, const ModelFamily& family, ModelConfig& config) {
  JIGSAW_ASSIGN_OR_RETURN(config.hidden_size, fields.integer("hidden_size", {}, 1));
  JIGSAW_ASSIGN_OR_RETURN(config.intermediate_size, fields.integer("intermediate_size", {}, 1));
  JIGSAW_ASSIGN_OR_RETURN(config.num_layers, fields.integer("num_hidden_layers", {}, 1));
  JIGSAW_ASSIGN_OR_RETURN(config.num_heads, fields.integer("num_attention_heads", {}, 1));
  JIGSAW_ASSIGN_OR_RETURN(config.vocab_size, fields.integer("vocab_size", {}, 1));
  JIGSAW_ASSIGN_OR_RETURN(config.max_positions,
                          fields.integer("max_position_embeddings", family.default_max_positions, 1));
  const bool kv_heads_follow = family.default_kv_heads == 0 || fields.is_null("num_key_value_heads");
  JIGSAW_ASSIGN_OR_RETURN(
      config.num_kv_heads,
      fields.integer("num_key_value_heads", kv_heads_follow ? config.num_heads : family.default_kv_heads, 1));
  if (fields.find("head_dim") == nullptr && family.default_head_dim == 0 &&
      config.hidden_size % config.num_heads != 0) {
    return fields.error(ErrorCode::kCorrupt, "hidden_size",
                        std::to_string(config.hidden_size) + " is no multiple of num_attention_heads " +
                            std::to_string(config.num_heads) + " and no head_dim is given");
  }
  const int derived = family.default_head_dim > 0 ? family.default_head_dim : config.hidden_size / config.num_heads;
  JIGSAW_ASSIGN_OR_RETURN(config.head_dim, fields.integer("head_dim", derived, 1));
  JIGSAW_ASSIGN_OR_RETURN(const double eps, fields.number("rms_norm_eps", 1e-6));
  config.rms_norm_eps = static_cast<float>(eps);
  return ok_status();
}

// What would make the numbers wrong if it were overlooked.
Status refuse_unsupported(const JsonFields& fields) {
  JIGSAW_ASSIGN_OR_RETURN(const std::string activation, fields.text("hidden_act", "silu"));
  if (activation != "silu" && activation != "swish") {
    return fields.error(ErrorCode::kUnsupported, "hidden_act", "\"" + activation + "\" is not supported; only silu is");
  }
  if (fields.find("quantization_config") != nullptr) {
    return fields.error(ErrorCode::kUnsupported, "quantization_config",
                        "quantised Hugging Face weights cannot be read; use the F32, F16 or BF16 model, or a GGUF");
  }
  return ok_status();
}

// The shortest decimal that reads back as this float: 1e-05 instead of 9.999999747378752e-06.
double shortest(float value) {
  char text[32];
  const auto written = std::to_chars(text, text + sizeof(text), value);
  double result = 0;
  std::from_chars(text, written.ptr, result);
  return result;
}

}  // namespace

Result<ModelConfig> read_hf_config(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / "config.json";
  JIGSAW_ASSIGN_OR_RETURN(const nlohmann::json json, read_json_object(path, kConfigBytesMax));
  const JsonFields fields(json, path.string());
  JIGSAW_ASSIGN_OR_RETURN(const std::string family_name, fields.text("model_type"));
  const Result<const ModelFamily*> family = find_family(family_name);
  if (!family) return fields.error(family.error().code(), "model_type", family.error().message());

  ModelConfig config;
  config.family = family_name;
  config.qkv_bias = (*family)->qkv_bias;
  config.qk_norm = (*family)->qk_norm;
  JIGSAW_RETURN_IF_ERROR(refuse_unsupported(fields));
  JIGSAW_RETURN_IF_ERROR(read_dimensions(fields, **family, config));
  JIGSAW_ASSIGN_OR_RETURN(config.tied_embeddings, fields.boolean("tie_word_embeddings", false));
  JIGSAW_ASSIGN_OR_RETURN(config.rope, read_hf_rope(fields, config.max_positions));
  if ((*family)->read_hf != nullptr) JIGSAW_RETURN_IF_ERROR((*family)->read_hf(fields, config));
  JIGSAW_RETURN_IF_ERROR(read_bos_token(fields, **family, config));
  JIGSAW_ASSIGN_OR_RETURN(config.eos_tokens, read_eos_tokens(folder, fields, **family));
  if (const Status status = validate(config); !status) return status.error().with_context(path.string());
  return config;
}

nlohmann::json to_hf_config(const ModelConfig& config) {
  const Result<const ModelFamily*> family = find_family(config.family);
  CHECK(family.ok());
  nlohmann::json json = {
      {"architectures", {(*family)->hf_class}},
      {"model_type", config.family},
      {"torch_dtype", "float32"},
      {"hidden_act", "silu"},
      {"hidden_size", config.hidden_size},
      {"intermediate_size", config.intermediate_size},
      {"num_hidden_layers", config.num_layers},
      {"num_attention_heads", config.num_heads},
      {"num_key_value_heads", config.num_kv_heads},
      {"head_dim", config.head_dim},
      {"vocab_size", config.vocab_size},
      {"max_position_embeddings", config.max_positions},
      {"rms_norm_eps", shortest(config.rms_norm_eps)},
      {"tie_word_embeddings", config.tied_embeddings},
      {"bos_token_id", nullptr},
      {"eos_token_id", nullptr},
  };
  if (config.bos_token >= 0) json["bos_token_id"] = config.bos_token;
  if (config.eos_tokens.size() == 1) json["eos_token_id"] = config.eos_tokens.front();
  if (config.eos_tokens.size() > 1) json["eos_token_id"] = config.eos_tokens;
  write_hf_rope(config.rope, json);
  if ((*family)->write_hf != nullptr) (*family)->write_hf(config, json);
  return json;
}

}  // namespace jigsaw
