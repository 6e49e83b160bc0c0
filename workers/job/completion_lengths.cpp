#include "workers/job/completion_lengths.h"

#include <sstream>

namespace jigsaw {
namespace {

constexpr int kCountMax = 4096;
constexpr int kLengthMax = 1 << 20;

}  // namespace

Result<std::vector<int>> parse_completion_lengths(const std::string& text) {
  const Error error(ErrorCode::kInvalidArgument, "'" + text + "': expected COUNTxLENGTH,.. such as 7x16,1x256");
  std::vector<int> lengths;
  std::stringstream stream(text);
  for (std::string part; std::getline(stream, part, ',');) {
    int count = 0, length = 0;
    char times = 0, rest = 0;
    std::stringstream fields(part);
    if (!(fields >> count >> times >> length) || times != 'x' || fields >> rest) return error;
    if (count < 1 || length < 1 || count > kCountMax || length > kLengthMax) return error;
    lengths.insert(lengths.end(), static_cast<std::size_t>(count), length);
  }
  if (lengths.empty()) return error;
  return lengths;
}

}  // namespace jigsaw
