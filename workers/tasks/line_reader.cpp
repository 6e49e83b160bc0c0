#include "workers/tasks/line_reader.h"

#include <cerrno>
#include <cstring>
#include <filesystem>

namespace jigsaw {
namespace {

constexpr std::size_t kChunkBytes = std::size_t{1} << 18;

}  // namespace

LineReader::LineReader(std::string file, std::ifstream stream, LineLimits limits)
    : file_(std::move(file)), stream_(std::move(stream)), limits_(limits) {}

Result<LineReader> LineReader::open(const std::string& file, LineLimits limits) {
  std::error_code failure;
  const auto status = std::filesystem::status(file, failure);
  if (!std::filesystem::exists(status)) {
    return Error(ErrorCode::kNotFound, file + ": " + (failure ? failure.message() : "no such file") +
                                           " (relative paths start at the working directory)");
  }
  if (!std::filesystem::is_regular_file(status)) {
    return Error(ErrorCode::kInvalidArgument, file + ": not a regular file");
  }
  std::ifstream stream(file, std::ios::binary);
  if (!stream) return Error(ErrorCode::kNotFound, file + ": cannot be opened: " + std::strerror(errno));
  return LineReader(file, std::move(stream), limits);
}

Result<bool> LineReader::next(std::string& line) {
  std::size_t end = buffer_.find('\n', position_);
  while (end == std::string::npos) {
    if (buffer_.size() - position_ > limits_.line_bytes_max) {
      ++line_number_;
      return error(ErrorCode::kResourceExhausted, "the line is over " + std::to_string(limits_.line_bytes_max) +
                                                      " bytes; split it or leave fields out");
    }
    buffer_.erase(0, position_);
    position_ = 0;
    const std::size_t size_before = buffer_.size();
    buffer_.resize(size_before + kChunkBytes);
    stream_.read(buffer_.data() + size_before, static_cast<std::streamsize>(kChunkBytes));
    const auto num_read = static_cast<std::size_t>(stream_.gcount());
    buffer_.resize(size_before + num_read);
    if (stream_.bad()) return error(ErrorCode::kUnavailable, "reading failed after this line");
    bytes_read_ += num_read;
    if (bytes_read_ > limits_.file_bytes_max) {
      return error(ErrorCode::kResourceExhausted, "the file is over " + std::to_string(limits_.file_bytes_max) +
                                                      " bytes; split it, or keep the lines that you train on");
    }
    if (num_read == 0) {
      if (buffer_.empty()) return false;
      end = buffer_.size();  // the last line may end with the file
      break;
    }
    end = buffer_.find('\n', size_before);
  }
  ++line_number_;
  if (end - position_ > limits_.line_bytes_max) {
    return error(ErrorCode::kResourceExhausted,
                 "the line is over " + std::to_string(limits_.line_bytes_max) + " bytes; split it or leave fields out");
  }
  line.assign(buffer_, position_, end - position_);
  position_ = end + 1 < buffer_.size() ? end + 1 : buffer_.size();
  if (!line.empty() && line.back() == '\r') line.pop_back();
  if (line_number_ == 1 && line.starts_with("\xEF\xBB\xBF")) line.erase(0, 3);
  return true;
}

Error LineReader::error(ErrorCode code, const std::string& message) const {
  return Error(code, file_ + ":" + std::to_string(line_number_) + ": " + message);
}

}  // namespace jigsaw
