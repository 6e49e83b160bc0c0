// Lines of a file, one after the other, in bounded memory. One thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <fstream>
#include <string>

#include "core/result.h"

namespace jigsaw {

struct LineLimits {
  std::size_t line_bytes_max = std::size_t{16} << 20;
  std::uint64_t file_bytes_max = std::uint64_t{1} << 30;
};

class LineReader {
 public:
  // Regular files only: a pipe or a terminal might never end.
  static Result<LineReader> open(const std::string& file, LineLimits limits = {});

  // False at the end of the file. The line comes without its \n or \r\n; the first one without a byte order mark. Fails
  // on a line or a file over the limits, and when the disk does.
  Result<bool> next(std::string& line);
  // Of the line that next() gave last; the first is 1.
  std::int64_t line_number() const { return line_number_; }

 private:
  LineReader(std::string file, std::ifstream stream, LineLimits limits);
  Error error(ErrorCode code, const std::string& message) const;

  std::string file_;
  std::ifstream stream_;
  LineLimits limits_;
  std::string buffer_;        // read and not yet given
  std::size_t position_ = 0;  // of what next() gives next, in buffer_
  std::uint64_t bytes_read_ = 0;
  std::int64_t line_number_ = 0;
};

}  // namespace jigsaw
