#include "rollout/models/safetensors_file.h"

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

namespace jigsaw {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors files are read as they stand in memory");

constexpr std::uint64_t kHeaderBytesMax = 100'000'000;  // the format's own bound

}  // namespace

Result<SafetensorsFile> SafetensorsFile::open(const std::filesystem::path& path) {
  SafetensorsFile file;
  file.path_ = path;
  JIGSAW_ASSIGN_OR_RETURN(file.file_, MappedFile::open(path));
  const std::span<const std::byte> bytes = file.file_.bytes();
  const auto corrupt = [&](const std::string& what) {
    return Error(ErrorCode::kCorrupt, path.string() + ": " + what + "; fetch or save the file again");
  };
  std::uint64_t header_bytes = 0;
  if (bytes.size() < sizeof(header_bytes)) return corrupt("too short for a safetensors file");
  std::memcpy(&header_bytes, bytes.data(), sizeof(header_bytes));
  const std::uint64_t after_length = bytes.size() - sizeof(header_bytes);
  if (header_bytes > after_length || header_bytes > kHeaderBytesMax) {
    return corrupt("claims a header of " + std::to_string(header_bytes) + " bytes, of which the file has " +
                   std::to_string(after_length) + " and the format allows " + std::to_string(kHeaderBytesMax));
  }
  const std::string_view header(reinterpret_cast<const char*>(bytes.data()) + sizeof(header_bytes), header_bytes);
  auto entries = parse_safetensors_header(header, after_length - header_bytes);
  if (!entries) return corrupt(entries.error().message());
  file.entries_ = std::move(*entries);
  file.data_begin_ = sizeof(header_bytes) + header_bytes;
  return file;
}

std::span<const std::byte> SafetensorsFile::bytes(const SafetensorsEntry& entry) const {
  return file_.bytes().subspan(data_begin_ + entry.begin, entry.end - entry.begin);
}

}  // namespace jigsaw
