// Time, as whatever waits or times out sees it: passed in, so that tests move it by hand (tests/support/fake_clock.h).
#pragma once

#include <chrono>

namespace jigsaw {

class Clock {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  virtual ~Clock() = default;
  // Never goes back. Any thread.
  virtual TimePoint now() const = 0;
};

class SystemClock final : public Clock {
 public:
  TimePoint now() const override { return std::chrono::steady_clock::now(); }
};

// The machine's clock; lives as long as the process.
inline const Clock& system_clock() {
  static const SystemClock clock;
  return clock;
}

}  // namespace jigsaw
