#include "rollout/models/json_file.h"

#include <span>

#include "core/json_nesting.h"
#include "rollout/models/mapped_file.h"

namespace jigsaw {
namespace {

// A value of the file for an error message, cut to a length that a person reads.
std::string shown(const nlohmann::json& value) {
  std::string text = value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  return text;
}

}  // namespace

Result<nlohmann::json> read_json_object(const std::filesystem::path& path, std::size_t bytes_max) {
  JIGSAW_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::open(path));
  const std::string_view text(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  const auto corrupt = [&](const std::string& what) { return Error(ErrorCode::kCorrupt, path.string() + ": " + what); };
  if (text.size() > bytes_max) {
    return corrupt("has " + std::to_string(text.size()) + " bytes, more than the " + std::to_string(bytes_max) +
                   " such a file may have");
  }
  if (json_nests_too_deeply(text)) return corrupt("nests deeper than " + std::to_string(kJsonNestingMax) + " levels");
  try {
    nlohmann::json object = nlohmann::json::parse(text.begin(), text.end());
    if (!object.is_object()) return corrupt("holds no JSON object");
    return object;
  } catch (const nlohmann::json::exception& exception) {
    return corrupt(std::string("is not valid JSON: ") + exception.what());
  }
}

const nlohmann::json* JsonFields::find(std::string_view key) const {
  const auto found = object_.find(key);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

bool JsonFields::is_null(std::string_view key) const {
  const auto found = object_.find(key);
  return found != object_.end() && found->is_null();
}

Result<int> JsonFields::integer(std::string_view key, std::optional<int> fallback, int min, int max) const {
  const nlohmann::json* value = find(key);
  if (value == nullptr) return fallback ? Result<int>(*fallback) : missing(key);
  if (!value->is_number_integer()) return mistyped(key, "an integer");
  const bool above_int64 = value->is_number_unsigned() && value->get<std::uint64_t>() > INT64_MAX;
  const std::int64_t integer = above_int64 ? INT64_MAX : value->get<std::int64_t>();
  if (integer < min || integer > max) {
    return error(ErrorCode::kCorrupt, key,
                 shown(*value) + " is not in " + std::to_string(min) + ".." + std::to_string(max));
  }
  return static_cast<int>(integer);
}

Result<double> JsonFields::number(std::string_view key, std::optional<double> fallback) const {
  const nlohmann::json* value = find(key);
  if (value == nullptr) return fallback ? Result<double>(*fallback) : missing(key);
  if (!value->is_number()) return mistyped(key, "a number");
  return value->get<double>();
}

Result<bool> JsonFields::boolean(std::string_view key, std::optional<bool> fallback) const {
  const nlohmann::json* value = find(key);
  if (value == nullptr) return fallback ? Result<bool>(*fallback) : missing(key);
  if (!value->is_boolean()) return mistyped(key, "true or false");
  return value->get<bool>();
}

Result<std::string> JsonFields::text(std::string_view key, std::optional<std::string> fallback) const {
  const nlohmann::json* value = find(key);
  if (value == nullptr) return fallback ? Result<std::string>(*fallback) : missing(key);
  if (!value->is_string()) return mistyped(key, "a string");
  return value->get<std::string>();
}

Error JsonFields::error(ErrorCode code, std::string_view key, std::string_view problem) const {
  return Error(code, place_ + ": " + std::string(key) + ": " + std::string(problem));
}

Error JsonFields::missing(std::string_view key) const { return error(ErrorCode::kCorrupt, key, "is missing"); }

Error JsonFields::mistyped(std::string_view key, std::string_view wanted) const {
  return error(ErrorCode::kCorrupt, key, shown(*find(key)) + " is not " + std::string(wanted));
}

}  // namespace jigsaw
