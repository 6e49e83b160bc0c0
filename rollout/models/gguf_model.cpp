#include "rollout/models/gguf_model.h"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "rollout/models/element_types.h"
#include "rollout/models/families/family.h"
#include "rollout/models/gguf_rope.h"
#include "rollout/models/gguf_types.h"

namespace jigsaw {
namespace {

constexpr std::string_view kRopeDivisors = "rope_freqs.weight";
constexpr std::string_view kEmbedding = "token_embd.weight";
constexpr std::string_view kOutput = "output.weight";

// GGUF name and Hugging Face name, of the whole model and within a layer ("blk.N." and "model.layers.N.").
using NamePair = std::pair<std::string_view, std::string_view>;
constexpr std::array kModelNames = {
    NamePair{kEmbedding, "model.embed_tokens.weight"},
    NamePair{"output_norm.weight", "model.norm.weight"},
    NamePair{kOutput, "lm_head.weight"},
};
constexpr std::array kLayerNames = {
    NamePair{"attn_norm.weight", "input_layernorm.weight"},
    NamePair{"attn_q.weight", "self_attn.q_proj.weight"},
    NamePair{"attn_k.weight", "self_attn.k_proj.weight"},
    NamePair{"attn_v.weight", "self_attn.v_proj.weight"},
    NamePair{"attn_q.bias", "self_attn.q_proj.bias"},
    NamePair{"attn_k.bias", "self_attn.k_proj.bias"},
    NamePair{"attn_v.bias", "self_attn.v_proj.bias"},
    NamePair{"attn_q_norm.weight", "self_attn.q_norm.weight"},
    NamePair{"attn_k_norm.weight", "self_attn.k_norm.weight"},
    NamePair{"attn_output.weight", "self_attn.o_proj.weight"},
    NamePair{"ffn_norm.weight", "post_attention_layernorm.weight"},
    NamePair{"ffn_gate.weight", "mlp.gate_proj.weight"},
    NamePair{"ffn_up.weight", "mlp.up_proj.weight"},
    NamePair{"ffn_down.weight", "mlp.down_proj.weight"},
};
constexpr std::string_view kGgufLayer = "blk.", kHfLayer = "model.layers.";

// Translates by one side of the tables to the other; empty where the name is in neither.
std::string translate(std::string_view name, std::string_view layer_from, std::string_view layer_to,
                      std::string_view NamePair::*from, std::string_view NamePair::*to) {
  for (const NamePair& pair : kModelNames) {
    if (pair.*from == name) return std::string(pair.*to);
  }
  if (!name.starts_with(layer_from)) return "";
  name.remove_prefix(layer_from.size());
  const std::size_t dot = name.find('.');
  if (dot == std::string_view::npos) return "";
  for (const NamePair& pair : kLayerNames) {
    if (pair.*from == name.substr(dot + 1)) {
      return std::string(layer_to) + std::string(name.substr(0, dot + 1)) + std::string(pair.*to);
    }
  }
  return "";
}

std::string hf_name_of(std::string_view gguf_name) {
  return translate(gguf_name, kGgufLayer, kHfLayer, &NamePair::first, &NamePair::second);
}

std::string gguf_name_of(const std::string& hf_name) {
  return translate(hf_name, kHfLayer, kGgufLayer, &NamePair::second, &NamePair::first);
}

// The metadata of one architecture: keys are prefixed with its name.
class Fields {
 public:
  Fields(const GgufFile& file, std::string_view architecture) : file_(file), prefix_(std::string(architecture) + ".") {}

  Result<int> integer(const std::string& key, std::optional<int> fallback = {}) const {
    JIGSAW_ASSIGN_OR_RETURN(const auto value, file_.optional_value<std::int64_t>(prefix_ + key));
    if (!value && fallback) return *fallback;
    if (!value) return file_.value<std::int64_t>(prefix_ + key).error();
    if (*value < 0 || *value > std::numeric_limits<int>::max()) {
      return error(ErrorCode::kCorrupt, key, std::to_string(*value) + " is out of range");
    }
    return static_cast<int>(*value);
  }
  Result<double> number(const std::string& key, std::optional<double> fallback = {}) const {
    JIGSAW_ASSIGN_OR_RETURN(const auto value, file_.optional_value<double>(prefix_ + key));
    if (!value && fallback) return *fallback;
    return value ? Result<double>(*value) : file_.value<double>(prefix_ + key);
  }
  Result<std::string> text(const std::string& key, const std::string& fallback) const {
    JIGSAW_ASSIGN_OR_RETURN(auto value, file_.optional_value<std::string>(prefix_ + key));
    return value.value_or(fallback);
  }
  Error error(ErrorCode code, const std::string& key, const std::string& problem) const {
    return Error(code, file_.path().string() + ": " + prefix_ + key + ": " + problem);
  }

 private:
  const GgufFile& file_;
  std::string prefix_;
};

Status read_dimensions(const Fields& fields, ModelConfig& config) {
  JIGSAW_ASSIGN_OR_RETURN(config.hidden_size, fields.integer("embedding_length"));
  JIGSAW_ASSIGN_OR_RETURN(config.intermediate_size, fields.integer("feed_forward_length"));
  JIGSAW_ASSIGN_OR_RETURN(config.num_layers, fields.integer("block_count"));
  JIGSAW_ASSIGN_OR_RETURN(config.num_heads, fields.integer("attention.head_count"));
  JIGSAW_ASSIGN_OR_RETURN(config.num_kv_heads, fields.integer("attention.head_count_kv", config.num_heads));
  JIGSAW_ASSIGN_OR_RETURN(config.max_positions, fields.integer("context_length"));
  const int derived = config.num_heads > 0 ? config.hidden_size / config.num_heads : 0;
  JIGSAW_ASSIGN_OR_RETURN(config.head_dim, fields.integer("attention.key_length", derived));
  JIGSAW_ASSIGN_OR_RETURN(const double eps, fields.number("attention.layer_norm_rms_epsilon"));
  config.rms_norm_eps = static_cast<float>(eps);

  JIGSAW_ASSIGN_OR_RETURN(const int value_length, fields.integer("attention.value_length", config.head_dim));
  JIGSAW_ASSIGN_OR_RETURN(const int rotary, fields.integer("rope.dimension_count", config.head_dim));
  JIGSAW_ASSIGN_OR_RETURN(const int experts, fields.integer("expert_count", 0));
  const std::string head_dim = std::to_string(config.head_dim);
  if (value_length != config.head_dim) {
    return fields.error(ErrorCode::kUnsupported, "attention.value_length", "must equal the key length " + head_dim);
  }
  if (rotary != config.head_dim) {
    return fields.error(ErrorCode::kUnsupported, "rope.dimension_count", "must equal the head dimension " + head_dim);
  }
  if (experts != 0)
    return fields.error(ErrorCode::kUnsupported, "expert_count", "mixtures of experts are not supported");
  return ok_status();
}

Status read_rope(const Fields& fields, RopeConfig& rope) {
  JIGSAW_ASSIGN_OR_RETURN(rope.theta, fields.number("rope.freq_base", 10000.0));
  JIGSAW_ASSIGN_OR_RETURN(const double older_factor, fields.number("rope.scale_linear", 0.0));
  JIGSAW_ASSIGN_OR_RETURN(const std::string type,
                          fields.text("rope.scaling.type", older_factor > 0 ? "linear" : "none"));
  if (type == "none") return ok_status();
  if (type != "linear") {
    return fields.error(ErrorCode::kUnsupported, "rope.scaling.type",
                        "\"" + type + "\" is not supported; known are none, linear");
  }
  JIGSAW_ASSIGN_OR_RETURN(rope.factor, fields.number("rope.scaling.factor", older_factor > 0 ? older_factor : 1.0));
  if (rope.factor != 1.0) rope.kind = RopeConfig::Kind::kLinear;
  return ok_status();
}

// Llama 3 files: the scaling is a tensor. `config` is valid.
Status read_rope_divisors(const GgufFile& file, ModelConfig& config) {
  const GgufTensor* tensor = file.tensor(kRopeDivisors);
  if (tensor == nullptr) return ok_status();
  const std::string place = file.path().string() + ": tensor " + std::string(kRopeDivisors);
  if (tensor->type != static_cast<std::uint32_t>(GgufType::kF32) ||
      tensor->shape != std::vector<std::int64_t>{config.head_dim / 2} ||
      config.rope.kind != RopeConfig::Kind::kDefault) {
    return Error(ErrorCode::kUnsupported,
                 place + " must be F32 with one value a pair of channels, without other scaling");
  }
  std::vector<float> divisors(static_cast<std::size_t>(config.head_dim / 2));
  widen(ElementType::kF32, tensor->bytes, divisors);
  if (std::all_of(divisors.begin(), divisors.end(), [](float divisor) { return divisor == 1.0f; })) return ok_status();
  auto rope = llama3_rope_from_divisors(config.rope, config.head_dim, divisors);
  if (!rope) return rope.error().with_context(place);
  config.rope = *rope;
  return ok_status();
}

Status read_special_tokens(const GgufFile& file, ModelConfig& config) {
  const auto read = [&](std::string_view key, auto&& take) -> Status {
    JIGSAW_ASSIGN_OR_RETURN(const auto id, file.optional_value<std::int64_t>(key));
    if (id && *id >= 0 && *id < config.vocab_size) take(static_cast<int>(*id));  // others mean "none"
    return ok_status();
  };
  const auto take_eos = [&](int id) {
    if (std::find(config.eos_tokens.begin(), config.eos_tokens.end(), id) == config.eos_tokens.end()) {
      config.eos_tokens.push_back(id);
    }
  };
  JIGSAW_RETURN_IF_ERROR(read("tokenizer.ggml.bos_token_id", [&](int id) { config.bos_token = id; }));
  JIGSAW_RETURN_IF_ERROR(read("tokenizer.ggml.eos_token_id", take_eos));
  return read("tokenizer.ggml.eot_token_id", take_eos);  // the end of a turn, where it is another token
}

Status refuse_split(const GgufFile& file) {
  JIGSAW_ASSIGN_OR_RETURN(const auto count, file.optional_value<std::int64_t>("split.count"));
  if (count.value_or(1) <= 1) return ok_status();
  return Error(ErrorCode::kUnsupported, file.path().string() + ": is one of " + std::to_string(*count) +
                                            " parts of a model; merge them into one file (gguf-split --merge)");
}

}  // namespace

Result<ModelConfig> read_gguf_config(const GgufFile& file) {
  JIGSAW_RETURN_IF_ERROR(refuse_split(file));
  JIGSAW_ASSIGN_OR_RETURN(const std::string architecture, file.value<std::string>("general.architecture"));
  const auto family = find_gguf_family(architecture);
  if (!family) return family.error().with_context(file.path().string());

  ModelConfig config;
  config.family = (*family)->name;
  config.qkv_bias = (*family)->qkv_bias;
  config.qk_norm = (*family)->qk_norm;
  config.tied_embeddings = file.tensor(kOutput) == nullptr;
  const Fields fields(file, architecture);
  JIGSAW_RETURN_IF_ERROR(read_dimensions(fields, config));
  JIGSAW_RETURN_IF_ERROR(read_rope(fields, config.rope));
  const GgufTensor* embedding = file.tensor(kEmbedding);
  if (embedding == nullptr || embedding->shape.size() != 2) {
    return Error(ErrorCode::kCorrupt, file.path().string() + ": tensor " + std::string(kEmbedding) +
                                          " is missing or no matrix; fetch or convert the model again");
  }
  config.vocab_size = static_cast<int>(std::min<std::int64_t>(embedding->shape[0], std::numeric_limits<int>::max()));
  if (const Status status = validate(config); !status) return status.error().with_context(file.path().string());
  JIGSAW_RETURN_IF_ERROR(read_rope_divisors(file, config));
  JIGSAW_RETURN_IF_ERROR(read_special_tokens(file, config));
  if (const Status status = validate(config); !status) return status.error().with_context(file.path().string());
  return config;
}

StoredWeights gguf_stored_weights(const GgufFile& file, const ModelConfig& config) {
  const auto family = find_family(config.family);
  const bool adjacent = family.ok() && (*family)->gguf_rotary_adjacent;
  StoredWeights stored;
  stored.place = file.path().string();
  stored.stored_spelling = gguf_name_of;
  for (const GgufTensor& tensor : file.tensors()) {
    if (tensor.name == kRopeDivisors) continue;
    StoredWeight weight{.hf_name = hf_name_of(tensor.name),
                        .stored_name = tensor.name,
                        .type = std::string(find_gguf_type(tensor.type)->name),
                        .shape = tensor.shape,
                        .bytes = tensor.bytes,
                        .file = stored.place};
    const bool rotated = tensor.name.ends_with(".attn_q.weight") || tensor.name.ends_with(".attn_k.weight");
    if (adjacent && rotated) weight.rotary_adjacent_head_dim = config.head_dim;
    stored.weights.push_back(std::move(weight));
  }
  return stored;
}

}  // namespace jigsaw
