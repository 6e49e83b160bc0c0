#include "rollout/models/hf_weights.h"

#include <algorithm>
#include <map>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "rollout/models/json_file.h"

namespace jigsaw {
namespace {

constexpr const char* kSingleFile = "model.safetensors";
constexpr const char* kIndexFile = "model.safetensors.index.json";
constexpr std::size_t kIndexBytesMax = 16 << 20;
constexpr std::size_t kShardsMax = 4096;
constexpr std::string_view kPrefix = "model.";

// Shard name -> the tensors that the index says it holds.
using ShardTensors = std::map<std::string, std::vector<std::string>>;

Result<ShardTensors> read_index(const std::filesystem::path& path) {
  JIGSAW_ASSIGN_OR_RETURN(const nlohmann::json index, read_json_object(path, kIndexBytesMax));
  const JsonFields fields(index, path.string());
  const nlohmann::json* map = fields.find("weight_map");
  if (map == nullptr || !map->is_object() || map->empty()) {
    return fields.error(ErrorCode::kCorrupt, "weight_map", "must map tensor names to file names");
  }
  ShardTensors shards;
  for (const auto& [tensor, file] : map->items()) {
    const std::string name = file.is_string() ? file.get<std::string>() : "";
    // A plain name: the index must not lead out of its folder.
    if (name.empty() || name.find('/') != std::string::npos || name.find('\0') != std::string::npos || name == "..") {
      return fields.error(ErrorCode::kCorrupt, "weight_map", "tensor " + tensor + " is not in a file of this folder");
    }
    shards[name].push_back(tensor);
  }
  if (shards.size() > kShardsMax) return fields.error(ErrorCode::kCorrupt, "weight_map", "names too many files");
  return shards;
}

Status check_shard(const SafetensorsFile& file, const std::vector<std::string>& indexed) {
  std::unordered_set<std::string_view> held;
  for (const SafetensorsEntry& entry : file.entries()) held.insert(entry.name);
  for (const std::string& tensor : indexed) {
    if (!held.contains(tensor)) {
      return Error(ErrorCode::kCorrupt, file.path().string() + ": tensor " + tensor + " is missing, which " +
                                            kIndexFile + " says is here; fetch all files of the model again");
    }
  }
  return ok_status();
}

Error no_weights(const std::filesystem::path& folder) {
  std::error_code ignored;
  const bool pickled = std::filesystem::exists(folder / "pytorch_model.bin", ignored) ||
                       std::filesystem::exists(folder / "pytorch_model.bin.index.json", ignored);
  return Error(ErrorCode::kNotFound, folder.string() + ": neither " + kSingleFile + " nor " + kIndexFile + " is there" +
                                         (pickled ? "; convert pytorch_model.bin to safetensors" : ""));
}

// Rotary frequencies that old checkpoints carry along; they are computed from the configuration.
bool is_ignored(std::string_view name) { return name.ends_with("rotary_emb.inv_freq"); }

}  // namespace

Result<std::vector<SafetensorsFile>> open_hf_files(const std::filesystem::path& folder) {
  std::vector<SafetensorsFile> files;
  std::error_code ignored;
  if (std::filesystem::exists(folder / kSingleFile, ignored)) {
    JIGSAW_ASSIGN_OR_RETURN(SafetensorsFile file, SafetensorsFile::open(folder / kSingleFile));
    files.push_back(std::move(file));
    return files;
  }
  if (!std::filesystem::exists(folder / kIndexFile, ignored)) return no_weights(folder);
  JIGSAW_ASSIGN_OR_RETURN(const ShardTensors shards, read_index(folder / kIndexFile));
  for (const auto& [name, tensors] : shards) {
    JIGSAW_ASSIGN_OR_RETURN(SafetensorsFile file, SafetensorsFile::open(folder / name));
    JIGSAW_RETURN_IF_ERROR(check_shard(file, tensors));
    files.push_back(std::move(file));
  }
  return files;
}

StoredWeights hf_stored_weights(const std::filesystem::path& folder, const std::vector<SafetensorsFile>& files) {
  StoredWeights stored;
  stored.place = folder.string();
  bool prefixed = false;
  for (const SafetensorsFile& file : files) {
    for (const SafetensorsEntry& entry : file.entries()) {
      if (is_ignored(entry.name)) continue;
      prefixed |= entry.name.starts_with(kPrefix);
      stored.weights.push_back({.hf_name = entry.name,
                                .stored_name = entry.name,
                                .type = entry.type,
                                .shape = entry.shape,
                                .bytes = file.bytes(entry),
                                .file = file.path().string()});
    }
  }
  // A checkpoint of the bare decoder has no prefix anywhere; transformers takes it for the causal model's too.
  if (prefixed) return stored;
  for (StoredWeight& weight : stored.weights) {
    if (!weight.hf_name.starts_with("lm_head.")) weight.hf_name.insert(0, kPrefix);
  }
  return stored;
}

}  // namespace jigsaw
