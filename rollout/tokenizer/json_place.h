// Reading JSON of unknown origin: every access is checked, and an error names the file and the field it met, e.g.
// "/m/tokenizer.json: pre_tokenizer.pretokenizers[0].type: ...". Nothing here throws.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace jigsaw {

// Refuses what is not UTF-8, nested deeper than 64 levels or cut off. `file` is only for messages.
Result<nlohmann::json> parse_json(std::string_view text, const std::string& file);

// A value and the way to it. Borrows the value, which must outlive it.
class JsonPlace {
 public:
  JsonPlace(const nlohmann::json& value, std::string path) : value_(&value), path_(std::move(path)) {}

  const nlohmann::json& value() const { return *value_; }
  const std::string& path() const { return path_; }
  Error error(ErrorCode code, std::string_view what) const;

  // Of an object. find(): empty where the key is absent or null; member(): that is an error.
  std::optional<JsonPlace> find(std::string_view key) const;
  Result<JsonPlace> member(std::string_view key) const;
  // Of an array.
  Result<std::vector<JsonPlace>> elements() const;

  Result<std::string> string() const;
  Result<bool> boolean() const;
  Result<std::int64_t> integer(std::int64_t min, std::int64_t max) const;
  // The string in the member "type".
  Result<std::string> type() const;
  // A member that may be left out.
  Result<bool> boolean_or(std::string_view key, bool absent) const;
  Result<std::string> string_or(std::string_view key, std::string_view absent) const;

 private:
  const nlohmann::json* value_;
  std::string path_;
};

// The steps of a part of tokenizer.json that is one step, {"type": ..}, or a Sequence of steps in its field `list_key`,
// which may hold Sequences in turn. Empty: no steps.
Result<std::vector<JsonPlace>> sequence_steps(const std::optional<JsonPlace>& part, std::string_view list_key);

}  // namespace jigsaw
