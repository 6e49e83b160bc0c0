// JSON files of a model folder, and checked access to their fields. Untrusted: size and nesting are bounded.
#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "core/result.h"

namespace jigsaw {

// A file that holds one JSON object of at most `bytes_max` bytes.
Result<nlohmann::json> read_json_object(const std::filesystem::path& path, std::size_t bytes_max);

// The fields of one JSON object. Null counts as absent; an absent field without fallback is an error. Errors name the
// place ("/m/config.json") and the field. Holds references: object and place outlive it.
class JsonFields {
 public:
  JsonFields(const nlohmann::json& object, std::string place) : object_(object), place_(std::move(place)) {}

  // Null where the field is absent or null.
  const nlohmann::json* find(std::string_view key) const;
  // The field is there and is null, which differs from absent where the family's default is not "none".
  bool is_null(std::string_view key) const;
  Result<int> integer(std::string_view key, std::optional<int> fallback = {}, int min = 0,
                      int max = std::numeric_limits<int>::max()) const;
  Result<double> number(std::string_view key, std::optional<double> fallback = {}) const;
  Result<bool> boolean(std::string_view key, std::optional<bool> fallback = {}) const;
  Result<std::string> text(std::string_view key, std::optional<std::string> fallback = {}) const;

  const std::string& place() const { return place_; }
  Error error(ErrorCode code, std::string_view key, std::string_view problem) const;

 private:
  Error missing(std::string_view key) const;
  Error mistyped(std::string_view key, std::string_view wanted) const;

  const nlohmann::json& object_;
  std::string place_;
};

}  // namespace jigsaw
