#include "rollout/models/hf_rope.h"

#include <string>

namespace jigsaw {
namespace {

Status refuse_partial_rotation(const JsonFields& fields) {
  JIGSAW_ASSIGN_OR_RETURN(const double share, fields.number("partial_rotary_factor", 1.0));
  if (share == 1.0) return ok_status();
  return fields.error(ErrorCode::kUnsupported, "partial_rotary_factor", "only 1 (all channels rotate) is supported");
}

Status read_llama3(const JsonFields& settings, const JsonFields& fields, int max_positions, RopeConfig& rope) {
  JIGSAW_ASSIGN_OR_RETURN(rope.low_freq_factor, settings.number("low_freq_factor"));
  JIGSAW_ASSIGN_OR_RETURN(rope.high_freq_factor, settings.number("high_freq_factor"));
  JIGSAW_ASSIGN_OR_RETURN(rope.original_max_positions,
                          settings.integer("original_max_position_embeddings", max_positions, 1));
  // Outside of the rotary settings it wins, in transformers too.
  JIGSAW_ASSIGN_OR_RETURN(rope.original_max_positions,
                          fields.integer("original_max_position_embeddings", rope.original_max_positions, 1));
  return ok_status();
}

}  // namespace

Result<RopeConfig> read_hf_rope(const JsonFields& fields, int max_positions) {
  // An empty rope_scaling counts as none.
  const nlohmann::json* object = fields.find("rope_scaling");
  std::string_view key = "rope_scaling";
  if (object == nullptr || object->empty()) object = fields.find(key = "rope_parameters");
  static const nlohmann::json nothing = nlohmann::json::object();
  if (object == nullptr) object = &nothing;
  if (!object->is_object()) return fields.error(ErrorCode::kCorrupt, key, "is not an object");
  const JsonFields settings(*object, fields.place() + ": " + std::string(key));

  for (const auto& [name, value] : object->items()) {
    if (value.is_object()) {
      return settings.error(ErrorCode::kUnsupported, name, "rotary settings per layer type are not supported");
    }
  }
  JIGSAW_RETURN_IF_ERROR(refuse_partial_rotation(fields));
  JIGSAW_RETURN_IF_ERROR(refuse_partial_rotation(settings));

  RopeConfig rope;
  JIGSAW_ASSIGN_OR_RETURN(rope.theta, fields.number("rope_theta", 10000.0));
  JIGSAW_ASSIGN_OR_RETURN(rope.theta, settings.number("rope_theta", rope.theta));
  JIGSAW_ASSIGN_OR_RETURN(const std::string older, settings.text("type", "default"));
  JIGSAW_ASSIGN_OR_RETURN(const std::string type, settings.text("rope_type", older));
  if (type == "default") return rope;
  if (type != "linear" && type != "llama3") {
    return settings.error(ErrorCode::kUnsupported, "rope_type",
                          "\"" + type + "\" is not supported; known are default, linear, llama3");
  }
  rope.kind = type == "linear" ? RopeConfig::Kind::kLinear : RopeConfig::Kind::kLlama3;
  JIGSAW_ASSIGN_OR_RETURN(rope.factor, settings.number("factor"));
  if (rope.kind == RopeConfig::Kind::kLlama3) {
    JIGSAW_RETURN_IF_ERROR(read_llama3(settings, fields, max_positions, rope));
  }
  return rope;
}

void write_hf_rope(const RopeConfig& rope, nlohmann::json& json) {
  json["rope_theta"] = rope.theta;
  json["rope_scaling"] = nullptr;
  if (rope.kind == RopeConfig::Kind::kLinear) {
    json["rope_scaling"] = {{"rope_type", "linear"}, {"factor", rope.factor}};
  } else if (rope.kind == RopeConfig::Kind::kLlama3) {
    json["rope_scaling"] = {{"rope_type", "llama3"},
                            {"factor", rope.factor},
                            {"low_freq_factor", rope.low_freq_factor},
                            {"high_freq_factor", rope.high_freq_factor},
                            {"original_max_position_embeddings", rope.original_max_positions}};
  }
}

}  // namespace jigsaw
