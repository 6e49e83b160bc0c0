#include "rollout/models/gguf_file.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <utility>

#include "rollout/models/gguf_types.h"

namespace jigsaw {
namespace {

static_assert(std::endian::native == std::endian::little, "GGUF files are read as they stand in memory");

constexpr std::uint32_t kMagic = 0x46554747;  // "GGUF"
constexpr std::uint64_t kKeysMax = 1 << 16;
constexpr std::uint64_t kTensorsMax = 1 << 18;
constexpr std::uint64_t kArrayElementsMax = 1 << 23;  // of all arrays together
constexpr std::uint64_t kNameBytesMax = 1024;
constexpr std::uint64_t kStringBytesMax = 16 << 20;
constexpr std::uint64_t kAlignmentMax = 1 << 20;
constexpr std::uint32_t kDimensionsMax = 4;

// Numbers of value types in the file.
enum class ValueType : std::uint32_t {
  kUint8,
  kInt8,
  kUint16,
  kInt16,
  kUint32,
  kInt32,
  kFloat32,
  kBool,
  kString,
  kArray,
  kUint64,
  kInt64,
  kFloat64,
};

}  // namespace

// Reads front to back. The first problem ends it: the functions then return false and error() tells.
class GgufParser {
 public:
  GgufParser(const std::filesystem::path& path, std::span<const std::byte> bytes) : path_(path), bytes_(bytes) {}

  bool parse(GgufFile& file) {
    std::uint64_t num_tensors = 0, num_keys = 0;
    if (!parse_header(num_tensors, num_keys)) return false;
    for (std::uint64_t i = 0; i < num_keys; ++i) {
      if (!parse_key(file)) return false;
    }
    if (!read_alignment(file)) return false;
    std::vector<std::uint64_t> offsets;
    for (std::uint64_t i = 0; i < num_tensors; ++i) {
      if (!parse_tensor(file, offsets)) return false;
    }
    return place_tensors(file, offsets);
  }
  const Error& error() const { return *error_; }

 private:
  bool fail(ErrorCode code, const std::string& message) {
    error_ = Error(code, path_.string() + ": " + message);
    return false;
  }
  bool corrupt(const std::string& what) {
    return fail(ErrorCode::kCorrupt,
                "at byte " + std::to_string(at_) + ": " + what + "; the file is damaged, fetch or convert it again");
  }
  std::uint64_t remaining() const { return bytes_.size() - at_; }

  template <typename T>
  bool read(T& value, const char* what) {
    if (remaining() < sizeof(T)) return corrupt(std::string("the file ends within ") + what);
    std::memcpy(&value, bytes_.data() + at_, sizeof(T));
    at_ += sizeof(T);
    return true;
  }
  bool read_string(std::string& value, std::uint64_t bytes_max, const char* what) {
    std::uint64_t length = 0;
    if (!read(length, what)) return false;
    if (length > remaining()) return corrupt(std::string("the file ends within ") + what);
    if (length > bytes_max) {
      return corrupt(std::string(what) + " has " + std::to_string(length) + " bytes, more than the " +
                     std::to_string(bytes_max) + " it may have");
    }
    value.assign(reinterpret_cast<const char*>(bytes_.data() + at_), length);
    at_ += length;
    return true;
  }

  bool parse_header(std::uint64_t& num_tensors, std::uint64_t& num_keys) {
    std::uint32_t magic = 0, version = 0;
    if (!read(magic, "its header")) return false;
    if (magic != kMagic) return fail(ErrorCode::kCorrupt, "not a GGUF file: it does not begin with \"GGUF\"");
    if (!read(version, "its header")) return false;
    if (version != 2 && version != 3) {
      return fail(ErrorCode::kUnsupported, "GGUF version " + std::to_string(version) +
                                               " cannot be read; convert the model to version 3, little endian");
    }
    if (!read(num_tensors, "its header") || !read(num_keys, "its header")) return false;
    if (num_tensors > kTensorsMax) return corrupt(std::to_string(num_tensors) + " tensors are too many");
    if (num_keys > kKeysMax) return corrupt(std::to_string(num_keys) + " metadata keys are too many");
    return true;
  }

  bool parse_key(GgufFile& file) {
    std::string key;
    std::uint32_t type = 0;
    if (!read_string(key, kNameBytesMax, "a metadata key") || !read(type, "a metadata key")) return false;
    GgufValue value;
    const bool ok =
        static_cast<ValueType>(type) == ValueType::kArray ? parse_array(key, value) : parse_scalar(key, type, value);
    if (!ok) return false;
    if (!file.metadata_.emplace(key, std::move(value)).second) return corrupt("key " + key + " stands twice");
    return true;
  }

  template <typename T>
  bool read_integer(const std::string& key, std::int64_t& out) {
    T value{};
    if (!read(value, "metadata")) return false;
    if constexpr (std::is_same_v<T, std::uint64_t>) {
      if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
        return corrupt("the value of " + key + " is absurdly large");
      }
    }
    out = static_cast<std::int64_t>(value);
    return true;
  }
  bool read_integer(const std::string& key, ValueType type, std::int64_t& out) {
    switch (type) {
      case ValueType::kUint8: return read_integer<std::uint8_t>(key, out);
      case ValueType::kInt8: return read_integer<std::int8_t>(key, out);
      case ValueType::kUint16: return read_integer<std::uint16_t>(key, out);
      case ValueType::kInt16: return read_integer<std::int16_t>(key, out);
      case ValueType::kUint32: return read_integer<std::uint32_t>(key, out);
      case ValueType::kInt32: return read_integer<std::int32_t>(key, out);
      case ValueType::kUint64: return read_integer<std::uint64_t>(key, out);
      case ValueType::kInt64: return read_integer<std::int64_t>(key, out);
      case ValueType::kBool: {
        if (!read_integer<std::uint8_t>(key, out)) return false;
        return out <= 1 ? true : corrupt("the value of " + key + " is neither true nor false");
      }
      default:
        return corrupt("the value of " + key + " has the unknown type " + std::to_string(static_cast<int>(type)));
    }
  }
  bool read_float(ValueType type, double& out) {
    if (type == ValueType::kFloat64) return read(out, "metadata");
    float value = 0;
    if (!read(value, "metadata")) return false;
    out = static_cast<double>(value);
    return true;
  }
  static bool is_float(ValueType type) { return type == ValueType::kFloat32 || type == ValueType::kFloat64; }

  bool parse_scalar(const std::string& key, std::uint32_t number, GgufValue& value) {
    const auto type = static_cast<ValueType>(number);
    if (type == ValueType::kString) return read_string(value.emplace<std::string>(), kStringBytesMax, "a string");
    if (is_float(type)) return read_float(type, value.emplace<double>());
    std::int64_t integer = 0;
    if (!read_integer(key, type, integer)) return false;
    if (type == ValueType::kBool) {
      value = integer != 0;
    } else {
      value = integer;
    }
    return true;
  }

  // Fewest bytes that one element takes; 0 for what may not stand in an array.
  static std::uint64_t element_bytes(ValueType type) {
    switch (type) {
      case ValueType::kUint8:
      case ValueType::kInt8:
      case ValueType::kBool: return 1;
      case ValueType::kUint16:
      case ValueType::kInt16: return 2;
      case ValueType::kUint32:
      case ValueType::kInt32:
      case ValueType::kFloat32: return 4;
      case ValueType::kUint64:
      case ValueType::kInt64:
      case ValueType::kFloat64:
      case ValueType::kString: return 8;
      default: return 0;
    }
  }

  bool parse_array(const std::string& key, GgufValue& value) {
    std::uint32_t number = 0;
    std::uint64_t count = 0;
    if (!read(number, "metadata") || !read(count, "metadata")) return false;
    const auto type = static_cast<ValueType>(number);
    const std::uint64_t bytes_each = element_bytes(type);
    if (bytes_each == 0) return corrupt(key + " is an array of the unknown type " + std::to_string(number));
    if (count > remaining() / bytes_each) return corrupt("the file ends within the array " + key);
    if (count > kArrayElementsMax - num_array_elements_) return corrupt("metadata arrays hold too many elements");
    num_array_elements_ += count;
    if (type == ValueType::kString) {
      auto& strings = value.emplace<std::vector<std::string>>(count);
      return std::all_of(strings.begin(), strings.end(),
                         [&](std::string& text) { return read_string(text, kStringBytesMax, "a string"); });
    }
    if (is_float(type)) {
      auto& floats = value.emplace<std::vector<double>>(count);
      return std::all_of(floats.begin(), floats.end(), [&](double& element) { return read_float(type, element); });
    }
    auto& integers = value.emplace<std::vector<std::int64_t>>(count);
    return std::all_of(integers.begin(), integers.end(),
                       [&](std::int64_t& element) { return read_integer(key, type, element); });
  }

  bool read_alignment(const GgufFile& file) {
    const GgufValue* value = file.find("general.alignment");
    if (value == nullptr) return true;
    const auto* integer = std::get_if<std::int64_t>(value);
    if (integer == nullptr || *integer < 1 || static_cast<std::uint64_t>(*integer) > kAlignmentMax ||
        !std::has_single_bit(static_cast<std::uint64_t>(*integer))) {
      return corrupt("general.alignment is not a power of two up to " + std::to_string(kAlignmentMax));
    }
    alignment_ = static_cast<std::uint64_t>(*integer);
    return true;
  }

  bool parse_tensor(GgufFile& file, std::vector<std::uint64_t>& offsets) {
    GgufTensor tensor;
    std::uint32_t num_dimensions = 0;
    if (!read_string(tensor.name, kNameBytesMax, "a tensor name") || !read(num_dimensions, "a tensor's shape")) {
      return false;
    }
    if (num_dimensions < 1 || num_dimensions > kDimensionsMax) {
      return corrupt("tensor " + tensor.name + " has " + std::to_string(num_dimensions) + " dimensions");
    }
    std::int64_t num_values = 1, num_bytes = 0;
    for (std::uint32_t i = 0; i < num_dimensions; ++i) {
      std::int64_t extent = 0;
      if (!read(extent, "a tensor's shape")) return false;
      if (extent < 1 || __builtin_mul_overflow(num_values, extent, &num_values)) {
        return corrupt("tensor " + tensor.name + " has an absurd shape");
      }
      tensor.shape.insert(tensor.shape.begin(), extent);
    }
    std::uint64_t offset = 0;
    if (!read(tensor.type, "a tensor's type") || !read(offset, "a tensor's offset")) return false;
    const GgufTypeInfo* info = find_gguf_type(tensor.type);
    if (info == nullptr) {
      return fail(ErrorCode::kUnsupported, "tensor " + tensor.name + " has the unknown type " +
                                               std::to_string(tensor.type) +
                                               "; convert the model to F32, F16, BF16, "
                                               "Q8_0, Q4_0 or Q4_1");
    }
    if (tensor.shape.back() % info->block_values != 0) {
      return corrupt("tensor " + tensor.name + " has rows of " + std::to_string(tensor.shape.back()) +
                     " values, not a multiple of the " + std::to_string(info->block_values) + " of a " +
                     std::string(info->name) + " block");
    }
    if (__builtin_mul_overflow(num_values / info->block_values, info->block_bytes, &num_bytes)) {
      return corrupt("tensor " + tensor.name + " has an absurd shape");
    }
    if (offset % alignment_ != 0) return corrupt("the offset of tensor " + tensor.name + " is not aligned");
    // Where the data begins is known after the last tensor; until then only the length of the span counts.
    if (static_cast<std::uint64_t>(num_bytes) > bytes_.size()) return beyond_end(tensor.name);
    tensor.bytes = bytes_.first(static_cast<std::size_t>(num_bytes));
    offsets.push_back(offset);
    file.tensors_.push_back(std::move(tensor));
    return true;
  }

  bool beyond_end(const std::string& name) {
    return fail(ErrorCode::kCorrupt, "tensor " + name + " reaches beyond the end of the file (" +
                                         std::to_string(bytes_.size()) +
                                         " bytes); the file is cut short or damaged, fetch or convert it again");
  }

  bool place_tensors(GgufFile& file, const std::vector<std::uint64_t>& offsets) {
    const std::uint64_t data_begin = (at_ + alignment_ - 1) / alignment_ * alignment_;
    const std::uint64_t data_bytes = data_begin < bytes_.size() ? bytes_.size() - data_begin : 0;
    std::vector<std::size_t> by_offset;
    for (std::size_t i = 0; i < file.tensors_.size(); ++i) {
      GgufTensor& tensor = file.tensors_[i];
      if (offsets[i] > data_bytes || tensor.bytes.size() > data_bytes - offsets[i]) return beyond_end(tensor.name);
      tensor.bytes = bytes_.subspan(data_begin + offsets[i], tensor.bytes.size());
      if (!file.tensor_index_.emplace(tensor.name, i).second) return corrupt("tensor " + tensor.name + " stands twice");
      by_offset.push_back(i);
    }
    std::sort(by_offset.begin(), by_offset.end(),
              [&](std::size_t a, std::size_t b) { return std::pair(offsets[a], a) < std::pair(offsets[b], b); });
    for (std::size_t i = 1; i < by_offset.size(); ++i) {
      const GgufTensor &before = file.tensors_[by_offset[i - 1]], &after = file.tensors_[by_offset[i]];
      if (before.bytes.data() + before.bytes.size() > after.bytes.data()) {
        return fail(ErrorCode::kCorrupt, "tensors " + before.name + " and " + after.name +
                                             " overlap; the file is damaged, fetch or convert it again");
      }
    }
    return true;
  }

  const std::filesystem::path& path_;
  std::span<const std::byte> bytes_;
  std::uint64_t at_ = 0;
  std::uint64_t num_array_elements_ = 0;
  std::uint64_t alignment_ = 32;
  std::optional<Error> error_;
};

Result<GgufFile> GgufFile::open(const std::filesystem::path& path) {
  JIGSAW_ASSIGN_OR_RETURN(MappedFile mapped, MappedFile::open(path));
  GgufFile file;
  file.path_ = path;
  file.file_ = std::move(mapped);
  GgufParser parser(file.path_, file.file_.bytes());
  if (!parser.parse(file)) return parser.error();
  return file;
}

const GgufValue* GgufFile::find(std::string_view key) const {
  const auto found = metadata_.find(key);
  return found == metadata_.end() ? nullptr : &found->second;
}

const GgufTensor* GgufFile::tensor(std::string_view name) const {
  const auto found = tensor_index_.find(name);
  return found == tensor_index_.end() ? nullptr : &tensors_[found->second];
}

Error GgufFile::wrong_type(std::string_view key, std::string_view wanted) const {
  return Error(ErrorCode::kCorrupt, path_.string() + ": metadata key " + std::string(key) + " is not " +
                                        std::string(wanted) + "; convert the model again");
}

Error GgufFile::missing_key(std::string_view key) const {
  return Error(ErrorCode::kCorrupt,
               path_.string() + ": metadata key " + std::string(key) + " is missing; convert the model again");
}

}  // namespace jigsaw
