#include "rollout/models/model_files.h"

#include <system_error>
#include <utility>

#include "core/atomic_file.h"
#include "rollout/models/gguf_model.h"
#include "rollout/models/gguf_types.h"
#include "rollout/models/hf_config.h"
#include "rollout/models/hf_weights.h"
#include "rollout/models/safetensors_writer.h"

namespace jigsaw {
namespace {

enum class Kind { kFolder, kGguf };

Result<Kind> kind_of(const std::filesystem::path& path) {
  std::error_code problem;
  const std::filesystem::file_status status = std::filesystem::status(path, problem);
  if (std::filesystem::is_directory(status)) return Kind::kFolder;
  if (!std::filesystem::exists(status)) {
    return Error(ErrorCode::kNotFound, path.string() + ": no such model; give a Hugging Face folder or a .gguf file");
  }
  if (path.extension() == ".safetensors" || path.extension() == ".json") {
    return Error(ErrorCode::kInvalidArgument, path.string() + ": give the folder that this file is in");
  }
  return Kind::kGguf;
}

}  // namespace

Result<ModelConfig> read_model_config(const std::filesystem::path& path) {
  JIGSAW_ASSIGN_OR_RETURN(const Kind kind, kind_of(path));
  if (kind == Kind::kFolder) return read_hf_config(path);
  JIGSAW_ASSIGN_OR_RETURN(const GgufFile file, GgufFile::open(path));
  return read_gguf_config(file);
}

Result<std::unique_ptr<PolicyWeights>> load_model(const std::filesystem::path& path) {
  JIGSAW_ASSIGN_OR_RETURN(const Kind kind, kind_of(path));
  if (kind == Kind::kGguf) {
    JIGSAW_ASSIGN_OR_RETURN(const GgufFile file, GgufFile::open(path));
    JIGSAW_ASSIGN_OR_RETURN(const ModelConfig config, read_gguf_config(file));
    return assemble_weights(config, gguf_stored_weights(file, config));
  }
  JIGSAW_ASSIGN_OR_RETURN(const ModelConfig config, read_hf_config(path));
  JIGSAW_ASSIGN_OR_RETURN(const std::vector<SafetensorsFile> files, open_hf_files(path));
  return assemble_weights(config, hf_stored_weights(path, files));
}

Status save_hf_model(const PolicyWeights& weights, const std::filesystem::path& folder) {
  if (const Status status = validate(weights.config()); !status) return status.error().with_context(folder.string());
  JIGSAW_RETURN_IF_ERROR(write_safetensors(weights, folder / "model.safetensors"));
  JIGSAW_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::create(folder / "config.json"));
  JIGSAW_RETURN_IF_ERROR(file.write(to_hf_config(weights.config()).dump(2) + "\n"));
  return file.commit();
}

Result<std::vector<StoredTensor>> list_tensors(const std::filesystem::path& path) {
  JIGSAW_ASSIGN_OR_RETURN(const Kind kind, kind_of(path));
  std::vector<StoredTensor> tensors;
  if (kind == Kind::kFolder) {
    JIGSAW_ASSIGN_OR_RETURN(const std::vector<SafetensorsFile> files, open_hf_files(path));
    for (const SafetensorsFile& file : files) {
      for (const SafetensorsEntry& entry : file.entries()) {
        tensors.push_back({entry.name, entry.type, entry.shape, entry.end - entry.begin, file.path().string()});
      }
    }
    return tensors;
  }
  JIGSAW_ASSIGN_OR_RETURN(const GgufFile file, GgufFile::open(path));
  for (const GgufTensor& tensor : file.tensors()) {
    const std::string type(find_gguf_type(tensor.type)->name);
    tensors.push_back({tensor.name, type, tensor.shape, tensor.bytes.size(), path.string()});
  }
  return tensors;
}

}  // namespace jigsaw
