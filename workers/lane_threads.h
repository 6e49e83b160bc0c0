// The threads on which two lanes compute while the executor's own thread coordinates: a job at a time on each side.
// All methods are called from the coordinating thread. A job's writes are seen by it once take_ended() has told of its
// end.
#pragma once

#include <array>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>

#include "workers/lane_set.h"

namespace jigsaw {

class LaneThreads {
 public:
  LaneThreads();
  // Waits for the ends of the jobs under way.
  ~LaneThreads();
  LaneThreads(const LaneThreads&) = delete;
  LaneThreads& operator=(const LaneThreads&) = delete;

  // Runs `job` on a free side, its thread bound to `cpu` (-1: as it is). A job does not throw.
  void start(int side, int cpu, std::function<void()> job);
  // Whether the side's job has ended; it is free then. Each end is told once.
  bool take_ended(int side);
  // Blocks until a job has ended that take_ended() has not told, but not longer than `at_most` (empty: until one has);
  // at once when there is no job under way.
  void wait_any(std::optional<std::chrono::milliseconds> at_most);
  // Blocks until the side's job has ended; at once when it has none.
  void wait(int side);

 private:
  enum class State { kFree, kRunning, kEnded };
  struct Side {
    State state = State::kFree;
    int cpu = -1;
    std::function<void()> job;
    std::condition_variable_any started;
    std::jthread thread;
  };
  void serve(std::stop_token stop, Side& side);
  Side& at(int side) { return sides_[static_cast<std::size_t>(side)]; }

  std::mutex mutex_;  // guards state, cpu and job of both sides
  std::condition_variable ended_;
  std::array<Side, kNumLaneSides> sides_;  // their threads end before the rest
};

}  // namespace jigsaw
