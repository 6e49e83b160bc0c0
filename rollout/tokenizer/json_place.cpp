#include "rollout/tokenizer/json_place.h"

#include <utility>

#include "core/json_nesting.h"

namespace jigsaw {
namespace {

using nlohmann::json;

}  // namespace

Result<json> parse_json(std::string_view text, const std::string& file) {
  if (json_nests_too_deeply(text)) {
    return Error(ErrorCode::kCorrupt,
                 file + ": JSON nested deeper than " + std::to_string(kJsonNestingMax) + " levels");
  }
  try {
    return json::parse(text);
  } catch (const json::exception& e) {
    return Error(ErrorCode::kCorrupt, file + ": not valid JSON: " + e.what());
  }
}

Error JsonPlace::error(ErrorCode code, std::string_view what) const {
  return Error(code, path_ + ": " + std::string(what));
}

std::optional<JsonPlace> JsonPlace::find(std::string_view key) const {
  if (!value_->is_object()) return std::nullopt;
  const auto found = value_->find(key);
  if (found == value_->end() || found->is_null()) return std::nullopt;
  // The file's name ends the path so far where this is its first field.
  const bool is_root = path_.ends_with(".json");
  return JsonPlace(*found, path_ + (is_root ? ": " : ".") + std::string(key));
}

Result<JsonPlace> JsonPlace::member(std::string_view key) const {
  if (!value_->is_object()) return error(ErrorCode::kCorrupt, "should be an object");
  auto found = find(key);
  if (!found) return error(ErrorCode::kCorrupt, "the field '" + std::string(key) + "' is missing");
  return *found;
}

Result<std::vector<JsonPlace>> JsonPlace::elements() const {
  if (!value_->is_array()) return error(ErrorCode::kCorrupt, "should be a list");
  std::vector<JsonPlace> places;
  places.reserve(value_->size());
  for (std::size_t i = 0; i < value_->size(); ++i) {
    places.emplace_back((*value_)[i], path_ + "[" + std::to_string(i) + "]");
  }
  return places;
}

Result<std::string> JsonPlace::string() const {
  if (!value_->is_string()) return error(ErrorCode::kCorrupt, "should be a string");
  return value_->get_ref<const std::string&>();
}

Result<bool> JsonPlace::boolean() const {
  if (!value_->is_boolean()) return error(ErrorCode::kCorrupt, "should be true or false");
  return value_->get<bool>();
}

Result<std::int64_t> JsonPlace::integer(std::int64_t min, std::int64_t max) const {
  if (!value_->is_number_integer()) return error(ErrorCode::kCorrupt, "should be a whole number");
  // nlohmann keeps what exceeds int64 as an unsigned number.
  const bool is_huge = value_->is_number_unsigned() && value_->get<std::uint64_t>() > INT64_MAX;
  const std::int64_t number = is_huge ? INT64_MAX : value_->get<std::int64_t>();
  if (is_huge || number < min || number > max) {
    return error(ErrorCode::kCorrupt,
                 value_->dump() + " is not between " + std::to_string(min) + " and " + std::to_string(max));
  }
  return number;
}

Result<std::string> JsonPlace::type() const {
  JIGSAW_ASSIGN_OR_RETURN(const JsonPlace place, member("type"));
  return place.string();
}

Result<bool> JsonPlace::boolean_or(std::string_view key, bool absent) const {
  const auto found = find(key);
  if (!found) return absent;
  return found->boolean();
}

Result<std::string> JsonPlace::string_or(std::string_view key, std::string_view absent) const {
  const auto found = find(key);
  if (!found) return std::string(absent);
  return found->string();
}

Result<std::vector<JsonPlace>> sequence_steps(const std::optional<JsonPlace>& part, std::string_view list_key) {
  std::vector<JsonPlace> steps;
  if (!part) return steps;
  JIGSAW_ASSIGN_OR_RETURN(const std::string type, part->type());
  if (type != "Sequence") return std::vector{*part};
  JIGSAW_ASSIGN_OR_RETURN(const JsonPlace list, part->member(list_key));
  JIGSAW_ASSIGN_OR_RETURN(const std::vector<JsonPlace> elements, list.elements());
  for (const JsonPlace& element : elements) {
    JIGSAW_ASSIGN_OR_RETURN(const std::vector<JsonPlace> inner, sequence_steps(element, list_key));
    steps.insert(steps.end(), inner.begin(), inner.end());
  }
  return steps;
}

}  // namespace jigsaw
