#include "rollout/models/safetensors_header.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <tuple>
#include <unordered_set>
#include <utility>

namespace jigsaw {
namespace {

constexpr std::size_t kDimensionsMax = 8;
constexpr std::size_t kNameBytesMax = 1024;

struct TypeSize {
  std::string_view name;
  std::int64_t num_bytes;
};
// All of the format's types of whole bytes: those we cannot widen are still listed by `inspect`.
constexpr std::array kTypeSizes = {
    TypeSize{"F64", 8}, TypeSize{"F32", 4},     TypeSize{"F16", 2},     TypeSize{"BF16", 2}, TypeSize{"F8_E4M3", 1},
    TypeSize{"I64", 8}, TypeSize{"F8_E5M2", 1}, TypeSize{"F8_E8M0", 1}, TypeSize{"I32", 4},  TypeSize{"I16", 2},
    TypeSize{"I8", 1},  TypeSize{"U64", 8},     TypeSize{"U32", 4},     TypeSize{"U16", 2},  TypeSize{"U8", 1},
    TypeSize{"C64", 8}, TypeSize{"BOOL", 1},
};

// Receives the parser's events and accepts exactly
//   { "name": { "dtype": text, "shape": [integers], "data_offsets": [begin, end] }, "__metadata__": { name: text } }.
// Every handler returns false at the first problem, which ends the parsing.
class HeaderReader final : public nlohmann::json_sax<nlohmann::json> {
 public:
  std::vector<SafetensorsEntry> entries;
  std::string problem;

  bool null() override { return unexpected("null"); }
  bool boolean(bool) override { return unexpected("a bool"); }
  bool number_float(number_float_t, const string_t&) override { return unexpected("a fraction"); }
  bool binary(binary_t&) override { return unexpected("binary data"); }
  bool number_integer(number_integer_t) override { return unexpected("a negative number"); }

  bool number_unsigned(number_unsigned_t value) override {
    if (place_ == Place::kShape) {
      if (value > static_cast<std::uint64_t>(INT64_MAX)) return fail("has an absurd shape");
      if (entries.back().shape.size() == kDimensionsMax) return fail("has too many dimensions");
      entries.back().shape.push_back(static_cast<std::int64_t>(value));
      return true;
    }
    if (place_ == Place::kOffsets) {
      if (num_offsets_ == 2) return fail("has more than two data_offsets");
      (num_offsets_++ == 0 ? entries.back().begin : entries.back().end) = value;
      return true;
    }
    return unexpected("a number");
  }

  bool string(string_t& text) override {
    if (place_ == Place::kMetadata) return true;
    if (place_ != Place::kEntry || key_ != "dtype") return unexpected("a string");
    entries.back().type = std::move(text);
    return true;
  }

  bool start_object(std::size_t) override {
    if (place_ == Place::kStart) return enter(Place::kTop);
    if (place_ != Place::kTop) return unexpected("an object");
    if (key_ == "__metadata__") return enter(Place::kMetadata);
    if (key_.size() > kNameBytesMax) return unexpected("an absurdly long tensor name");
    if (!names_.insert(key_).second) return fail("stands twice");
    entries.push_back({.name = key_, .type = "", .shape = {}});
    num_offsets_ = 0;
    has_shape_ = false;
    return enter(Place::kEntry);
  }

  bool end_object() override {
    if (place_ == Place::kEntry && (entries.back().type.empty() || !has_shape_ || num_offsets_ != 2)) {
      return fail("lacks dtype, shape or data_offsets");
    }
    return enter(place_ == Place::kTop ? Place::kEnd : Place::kTop);
  }

  bool start_array(std::size_t) override {
    if (place_ != Place::kEntry) return unexpected("an array");
    if (key_ == "shape" && !has_shape_) return has_shape_ = true, enter(Place::kShape);
    if (key_ == "data_offsets" && num_offsets_ == 0) return enter(Place::kOffsets);
    return unexpected("an array");
  }
  bool end_array() override { return enter(Place::kEntry); }

  bool key(string_t& key) override {
    if (place_ != Place::kMetadata) key_ = std::move(key);
    return true;
  }

  bool parse_error(std::size_t position, const std::string&, const nlohmann::json::exception&) override {
    problem = "the header is not valid JSON at its byte " + std::to_string(position);
    return false;
  }

 private:
  enum class Place { kStart, kTop, kMetadata, kEntry, kShape, kOffsets, kEnd };

  bool enter(Place place) {
    place_ = place;
    return true;
  }
  bool fail(const std::string& what) {
    problem = "tensor " + (entries.empty() || place_ == Place::kTop ? key_ : entries.back().name) + " " + what;
    return false;
  }
  bool unexpected(const std::string& what) {
    problem = "the header holds " + what + " where none may be, after key \"" + key_.substr(0, kNameBytesMax) + "\"";
    return false;
  }

  Place place_ = Place::kStart;
  std::string key_;
  std::unordered_set<std::string> names_;
  int num_offsets_ = 0;
  bool has_shape_ = false;
};

// Empty where type, shape and byte range agree.
std::optional<std::string> find_problem(const SafetensorsEntry& entry) {
  const auto type =
      std::find_if(kTypeSizes.begin(), kTypeSizes.end(), [&](const TypeSize& size) { return size.name == entry.type; });
  if (type == kTypeSizes.end()) return "has the unknown dtype " + entry.type;
  std::int64_t num_bytes = type->num_bytes;
  for (const std::int64_t extent : entry.shape) {
    if (__builtin_mul_overflow(num_bytes, extent, &num_bytes)) return "has an absurd shape";
  }
  if (entry.begin > entry.end || entry.end - entry.begin != static_cast<std::uint64_t>(num_bytes)) {
    return "has data_offsets that do not fit its shape";
  }
  return std::nullopt;
}

}  // namespace

Result<std::vector<SafetensorsEntry>> parse_safetensors_header(std::string_view json, std::uint64_t num_data_bytes) {
  HeaderReader reader;
  if (!nlohmann::json::sax_parse(json.begin(), json.end(), &reader)) return Error(ErrorCode::kCorrupt, reader.problem);
  std::vector<SafetensorsEntry>& entries = reader.entries;
  std::sort(entries.begin(), entries.end(), [](const SafetensorsEntry& a, const SafetensorsEntry& b) {
    return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
  });
  std::uint64_t expected = 0;
  for (const SafetensorsEntry& entry : entries) {
    if (const auto problem = find_problem(entry))
      return Error(ErrorCode::kCorrupt, "tensor " + entry.name + " " + *problem);
    if (entry.begin != expected) {
      return Error(ErrorCode::kCorrupt, "tensor " + entry.name + " does not begin where the one before it ends (byte " +
                                            std::to_string(expected) + "): they overlap or leave a gap");
    }
    expected = entry.end;
  }
  if (expected != num_data_bytes) {
    return Error(ErrorCode::kCorrupt, "the tensors take " + std::to_string(expected) + " bytes, but the file holds " +
                                          std::to_string(num_data_bytes) + " of data: it is cut short or damaged");
  }
  return std::move(entries);
}

}  // namespace jigsaw
