#include "core/nearest_name.h"
#include "rollout/models/families/family.h"

namespace jigsaw {
namespace {

template <typename Project>
Result<const ModelFamily*> find_by(std::string_view wanted, std::string_view what, Project name_of) {
  std::vector<std::string> known;
  for (const ModelFamily& family : model_families()) {
    if (name_of(family).empty()) continue;
    if (name_of(family) == wanted) return &family;
    known.emplace_back(name_of(family));
  }
  return Error(ErrorCode::kUnsupported, unknown_name_message(what, wanted, known));
}

}  // namespace

const std::vector<ModelFamily>& model_families() {
  static const std::vector<ModelFamily> families = {
      llama_family(),
      mistral_family(),
      qwen2_family(),
      qwen3_family(),
  };
  return families;
}

Result<const ModelFamily*> find_family(std::string_view name) {
  return find_by(name, "model family", [](const ModelFamily& family) { return family.name; });
}

Result<const ModelFamily*> find_gguf_family(std::string_view architecture) {
  return find_by(architecture, "GGUF architecture", [](const ModelFamily& family) { return family.gguf_architecture; });
}

Status refuse_if_set(const JsonFields& fields, std::string_view key) {
  JIGSAW_ASSIGN_OR_RETURN(const bool set, fields.boolean(key, false));
  if (!set) return ok_status();
  return fields.error(ErrorCode::kUnsupported, key,
                      "true cannot be computed here: models of this family have no such bias");
}

}  // namespace jigsaw
