// Folders, bytes and small model files for the tests of reading and writing models.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "rollout/models/policy_weights.h"

namespace jigsaw::testing {

// A new empty folder, removed with all it holds.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

std::filesystem::path golden_file(const std::string& name);
std::string read_bytes(const std::filesystem::path& path);
void write_bytes(const std::filesystem::path& path, std::string_view bytes);

// A config of the family with sizes that are not multiples of 16 and every feature that the family has.
ModelConfig tiny_config(const std::string& family, bool tied);
std::unique_ptr<PolicyWeights> tiny_model(const std::string& family, bool tied, std::uint64_t seed = 1);

// The header's length, the header, and `data`.
std::string safetensors_bytes(const std::string& header, std::string_view data);

// Writes the bytes of a GGUF file, right or wrong, as the format is described.
class GgufBytes {
 public:
  explicit GgufBytes(std::uint32_t version = 3) : version_(version) {}

  GgufBytes& text(std::string_view key, std::string_view value);
  GgufBytes& uint32(std::string_view key, std::uint32_t value);
  GgufBytes& float32(std::string_view key, float value);
  // Any value: its type number and its bytes.
  GgufBytes& raw(std::string_view key, std::uint32_t type, std::string_view bytes);
  // `shape` as in the file: fastest first. The offset follows the tensor before, aligned to 32.
  GgufBytes& tensor(std::string_view name, std::vector<std::uint64_t> shape, std::uint32_t type,
                    std::string_view bytes);
  GgufBytes& tensor_at(std::string_view name, std::vector<std::uint64_t> shape, std::uint32_t type,
                       std::uint64_t offset);

  std::string bytes() const;

 private:
  std::uint32_t version_;
  std::uint64_t num_keys_ = 0, num_tensors_ = 0;
  std::string keys_, tensors_, data_;
};

template <typename T>
std::string bytes_of(T value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof(T));
}

// A complete llama model of one layer in F32 whose weights are all 0.25, as small as it gets.
GgufBytes smallest_gguf();

}  // namespace jigsaw::testing
