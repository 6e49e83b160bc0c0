// What would let somebody who never waits go on: the one who does wait asks for it.
#pragma once

#include <poll.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <vector>

#include "core/clock.h"

namespace jigsaw {

struct Wakeups {
  std::vector<pollfd> files;
  std::optional<Clock::TimePoint> at;                  // by the clock of whoever goes on
  std::optional<std::chrono::milliseconds> sleep_max;  // by the machine's clock, whatever else there is

  void add_time(Clock::TimePoint time) { at = at ? std::min(*at, time) : time; }
  void sleep_at_most(std::chrono::milliseconds time) { sleep_max = sleep_max ? std::min(*sleep_max, time) : time; }
};

}  // namespace jigsaw
