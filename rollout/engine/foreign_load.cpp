#include "rollout/engine/foreign_load.h"

#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <string>

namespace jigsaw {
namespace {

double clock_seconds(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

}  // namespace

ForeignLoad::Seconds ForeignLoad::now() {
  // "cpu  user nice system idle iowait irq softirq steal ...", in clock ticks over all cores.
  std::ifstream stat("/proc/stat");
  std::string label;
  std::array<double, 8> ticks{};
  stat >> label;
  for (double& value : ticks) stat >> value;
  double busy_ticks = 0;
  if (stat) busy_ticks = ticks[0] + ticks[1] + ticks[2] + ticks[5] + ticks[6] + ticks[7];
  return {.wall = clock_seconds(CLOCK_MONOTONIC),
          .all_busy = busy_ticks / static_cast<double>(sysconf(_SC_CLK_TCK)),
          .own_busy = clock_seconds(CLOCK_PROCESS_CPUTIME_ID)};
}

double ForeignLoad::cores() const {
  const Seconds end = now();
  const double foreign_s = (end.all_busy - start_.all_busy) - (end.own_busy - start_.own_busy);
  return std::max(0.0, foreign_s / std::max(end.wall - start_.wall, 1e-9));
}

}  // namespace jigsaw
