// Cuts the bytes of an input into parts; past the end all is zero or empty.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace jigsaw::fuzz {

class InputCutter {
 public:
  explicit InputCutter(std::string_view bytes) : rest_(bytes) {}

  bool empty() const { return rest_.empty(); }
  std::string_view rest() const { return rest_; }
  std::uint8_t byte() {
    const std::string_view taken = take(1);
    return taken.empty() ? 0 : static_cast<std::uint8_t>(taken[0]);
  }
  std::string_view take(std::size_t count) {
    const std::string_view taken = rest_.substr(0, count);
    rest_.remove_prefix(taken.size());
    return taken;
  }
  // A part of up to 64 KiB, behind its length (2 bytes, little-endian).
  std::string_view part() {
    const std::size_t low = byte();
    return take(low + (std::size_t{byte()} << 8));
  }
  // All up to the next zero byte, which is dropped.
  std::string_view until_zero() {
    const std::string_view taken = rest_.substr(0, rest_.find('\0'));
    rest_.remove_prefix(std::min(rest_.size(), taken.size() + 1));
    return taken;
  }

 private:
  std::string_view rest_;
};

}  // namespace jigsaw::fuzz
