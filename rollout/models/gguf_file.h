// A GGUF file (version 2 or 3, little endian), memory-mapped: its metadata, decoded, and its tensors as stored.
// Immutable once open; may be read from several threads. Spans point into the mapping and live as long as the GgufFile.
//
// Bytes are untrusted: open() checks every count, length and offset against the file before it allocates, refuses
// duplicate keys and tensors, tensors that overlap or leave the file, and metadata arrays of more than 2^23 elements
// in all. What open() accepted needs no further bounds checks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <variant>
#include <vector>

#include "core/result.h"
#include "rollout/models/mapped_file.h"

namespace jigsaw {

// Integers of any width become int64, floats double, an array of bool an array of int64 (0 and 1).
using GgufValue = std::variant<bool, std::int64_t, double, std::string, std::vector<std::int64_t>, std::vector<double>,
                               std::vector<std::string>>;

struct GgufTensor {
  std::string name;
  std::uint32_t type = 0;            // ggml's type number; names and sizes in gguf_types.h
  std::vector<std::int64_t> shape;   // outermost first ([rows, cols]), the reverse of the order in the file
  std::span<const std::byte> bytes;  // all of the tensor
};

class GgufFile {
 public:
  static Result<GgufFile> open(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }

  // Null where there is no such key.
  const GgufValue* find(std::string_view key) const;
  // Empty where the key is absent; an error that names file and key where it holds another type.
  // T: one of GgufValue's alternatives, e.g. value<std::vector<std::string>>("tokenizer.ggml.tokens").
  template <typename T>
  Result<std::optional<T>> optional_value(std::string_view key) const;
  // As above, and absence is an error.
  template <typename T>
  Result<T> value(std::string_view key) const;
  const std::map<std::string, GgufValue, std::less<>>& metadata() const { return metadata_; }

  const std::vector<GgufTensor>& tensors() const { return tensors_; }
  // Null where there is no such tensor.
  const GgufTensor* tensor(std::string_view name) const;

 private:
  friend class GgufParser;
  GgufFile() = default;
  Error wrong_type(std::string_view key, std::string_view wanted) const;
  Error missing_key(std::string_view key) const;
  template <typename T>
  static constexpr std::string_view type_name();

  std::filesystem::path path_;
  MappedFile file_;
  std::map<std::string, GgufValue, std::less<>> metadata_;
  std::vector<GgufTensor> tensors_;
  std::unordered_map<std::string_view, std::size_t> tensor_index_;  // keys point into tensors_
};

template <typename T>
constexpr std::string_view GgufFile::type_name() {
  if constexpr (std::is_same_v<T, bool>) return "a bool";
  if constexpr (std::is_same_v<T, std::int64_t>) return "an integer";
  if constexpr (std::is_same_v<T, double>) return "a float";
  if constexpr (std::is_same_v<T, std::string>) return "a string";
  if constexpr (std::is_same_v<T, std::vector<std::int64_t>>) return "an array of integers";
  if constexpr (std::is_same_v<T, std::vector<double>>) return "an array of floats";
  if constexpr (std::is_same_v<T, std::vector<std::string>>) return "an array of strings";
}

template <typename T>
Result<std::optional<T>> GgufFile::optional_value(std::string_view key) const {
  const GgufValue* found = find(key);
  if (found == nullptr) return std::optional<T>();
  if (const T* typed = std::get_if<T>(found)) return std::optional<T>(*typed);
  return wrong_type(key, type_name<T>());
}

template <typename T>
Result<T> GgufFile::value(std::string_view key) const {
  JIGSAW_ASSIGN_OR_RETURN(std::optional<T> found, optional_value<T>(key));
  if (!found) return missing_key(key);
  return std::move(*found);
}

}  // namespace jigsaw
