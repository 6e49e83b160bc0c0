// A clock that stands still until a test moves it.
#pragma once

#include <atomic>

#include "core/check.h"
#include "core/clock.h"

namespace jigsaw {

class FakeClock final : public Clock {
 public:
  TimePoint now() const override { return TimePoint(TimePoint::duration(ticks_.load())); }

  void advance(std::chrono::nanoseconds step) {
    CHECK(step.count() >= 0);
    ticks_ += std::chrono::duration_cast<TimePoint::duration>(step).count();
  }

 private:
  std::atomic<TimePoint::rep> ticks_{0};
};

}  // namespace jigsaw
