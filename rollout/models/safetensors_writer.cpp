#include "rollout/models/safetensors_writer.h"

#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "core/atomic_file.h"

namespace jigsaw {
namespace {

constexpr std::size_t kHeaderAlignment = 8;
constexpr std::size_t kChunkFloats = 1 << 20;

std::size_t num_values(const Parameter& parameter, const ParameterPart& part) {
  return static_cast<std::size_t>(part.num_rows) * static_cast<std::size_t>(std::max(parameter.cols, 1));
}

// The length in 8 bytes, then JSON padded with spaces, so that the data is aligned.
std::string make_header(const ParameterLayout& layout) {
  nlohmann::ordered_json json;
  json["__metadata__"] = {{"format", "pt"}};
  std::uint64_t begin = 0;
  for (const Parameter& parameter : layout.parameters()) {
    for (const ParameterPart& part : parameter.parts) {
      const std::uint64_t end = begin + num_values(parameter, part) * sizeof(float);
      nlohmann::ordered_json shape = {part.num_rows};
      if (parameter.is_matrix()) shape.push_back(parameter.cols);
      json[part.hf_name] = {{"dtype", "F32"}, {"shape", shape}, {"data_offsets", {begin, end}}};
      begin = end;
    }
  }
  std::string text = json.dump();
  text.resize((text.size() + kHeaderAlignment - 1) / kHeaderAlignment * kHeaderAlignment, ' ');
  const std::uint64_t length = text.size();
  return std::string(reinterpret_cast<const char*>(&length), sizeof(length)) + text;
}

// Some rows at a time, so that saving needs little memory beside the weights.
Status write_part(const Parameter& parameter, const ParameterPart& part, const float* panels, AtomicFile& file) {
  const std::size_t cols = static_cast<std::size_t>(std::max(parameter.cols, 1));
  const int rows_each = static_cast<int>(std::max<std::size_t>(kChunkFloats / cols / kPanelWidth, 1)) * kPanelWidth;
  std::vector<float> chunk;
  for (int row = 0; row < part.num_rows; row += rows_each) {
    const ParameterPart rows{part.hf_name, part.row_begin + row, std::min(rows_each, part.num_rows - row)};
    chunk.resize(num_values(parameter, rows));
    unpack_rows(parameter, rows, panels, chunk);
    JIGSAW_RETURN_IF_ERROR(file.write(std::as_bytes(std::span(chunk))));
  }
  return ok_status();
}

}  // namespace

Status write_safetensors(const PolicyWeights& weights, const std::filesystem::path& path) {
  JIGSAW_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::create(path));
  JIGSAW_RETURN_IF_ERROR(file.write(make_header(weights.layout())));
  for (const Parameter& parameter : weights.layout().parameters()) {
    for (const ParameterPart& part : parameter.parts) {
      const float* panels = weights.floats().data() + parameter.offset;
      JIGSAW_RETURN_IF_ERROR(write_part(parameter, part, panels, file));
    }
  }
  return file.commit();
}

}  // namespace jigsaw
