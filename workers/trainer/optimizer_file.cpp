#include "workers/trainer/optimizer_file.h"

#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <string_view>
#include <vector>

#include "core/atomic_file.h"
#include "rollout/models/safetensors_file.h"

namespace jigsaw {
namespace {

constexpr const char* kNumSteps = "num_steps";

std::string header_of(std::span<const NamedFloats<const float>> tensors) {
  nlohmann::ordered_json header;
  std::uint64_t end = 0;
  const auto add = [&](const std::string& name, const char* type, std::uint64_t num_values, std::uint64_t num_bytes) {
    header[name] = {{"dtype", type}, {"shape", {num_values}}, {"data_offsets", {end, end + num_bytes}}};
    end += num_bytes;
  };
  add(kNumSteps, "I64", 1, sizeof(std::int64_t));
  for (const auto& [name, values] : tensors) add(name, "F32", values.size(), values.size_bytes());
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');  // so that the data is aligned
  const std::uint64_t length = text.size();
  return std::string(reinterpret_cast<const char*>(&length), sizeof(length)) + text;
}

// The bytes of a tensor of one dimension; an error where it is missing or of another kind.
Result<std::span<const std::byte>> find_tensor(const SafetensorsFile& file,
                                               const std::map<std::string_view, const SafetensorsEntry*>& entries,
                                               std::string_view name, std::string_view type, std::size_t num_values) {
  const auto found = entries.find(name);
  const bool fits = found != entries.end() && found->second->type == type && found->second->shape.size() == 1 &&
                    static_cast<std::size_t>(found->second->shape[0]) == num_values;
  if (!fits) {
    return Error(ErrorCode::kCorrupt, file.path().string() + ": no tensor '" + std::string(name) + "' of " +
                                          std::to_string(num_values) + " " + std::string(type) +
                                          " values: this is not the optimizer state of this model");
  }
  return file.bytes(*found->second);
}

}  // namespace

Status write_optimizer_file(const std::filesystem::path& path, std::int64_t num_steps,
                            std::span<const NamedFloats<const float>> tensors) {
  JIGSAW_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::create(path));
  JIGSAW_RETURN_IF_ERROR(file.write(header_of(tensors)));
  JIGSAW_RETURN_IF_ERROR(file.write(std::as_bytes(std::span(&num_steps, 1))));
  for (const auto& [name, values] : tensors) JIGSAW_RETURN_IF_ERROR(file.write(std::as_bytes(values)));
  return file.commit();
}

Result<std::int64_t> read_optimizer_file(const std::filesystem::path& path,
                                         std::span<const NamedFloats<float>> tensors) {
  JIGSAW_ASSIGN_OR_RETURN(const SafetensorsFile file, SafetensorsFile::open(path));
  std::map<std::string_view, const SafetensorsEntry*> entries;
  for (const SafetensorsEntry& entry : file.entries()) entries.emplace(entry.name, &entry);
  if (entries.size() != tensors.size() + 1) {
    return Error(ErrorCode::kCorrupt, path.string() + ": holds " + std::to_string(entries.size()) +
                                          " tensors and not " + std::to_string(tensors.size() + 1) +
                                          ": this is not the optimizer state of this model");
  }
  JIGSAW_ASSIGN_OR_RETURN(const auto num_steps_bytes, find_tensor(file, entries, kNumSteps, "I64", 1));
  std::int64_t num_steps = 0;
  std::memcpy(&num_steps, num_steps_bytes.data(), sizeof(num_steps));
  if (num_steps < 0) return Error(ErrorCode::kCorrupt, path.string() + ": num_steps is below 0");
  std::vector<std::span<const std::byte>> sources;
  for (const auto& [name, values] : tensors) {
    JIGSAW_ASSIGN_OR_RETURN(const auto source, find_tensor(file, entries, name, "F32", values.size()));
    sources.push_back(source);
  }
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    std::memcpy(tensors[i].values.data(), sources[i].data(), sources[i].size());
  }
  return num_steps;
}

}  // namespace jigsaw
