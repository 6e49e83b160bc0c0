#include "workers/lane_threads.h"

#include <algorithm>
#include <utility>

#include "core/check.h"
#include "core/lane.h"

namespace jigsaw {

LaneThreads::LaneThreads() {
  for (Side& side : sides_) {
    side.thread = std::jthread([this, &side](std::stop_token stop) { serve(std::move(stop), side); });
  }
}

LaneThreads::~LaneThreads() {
  for (Side& side : sides_) side.thread.request_stop();
  for (Side& side : sides_) side.thread.join();
}

void LaneThreads::serve(std::stop_token stop, Side& side) {
  int bound_to = -1;
  std::unique_lock lock(mutex_);
  while (side.started.wait(lock, stop, [&] { return side.state == State::kRunning; })) {
    const std::function<void()> job = std::exchange(side.job, nullptr);
    const int cpu = side.cpu;
    lock.unlock();
    if (cpu >= 0 && cpu != bound_to) bind_this_thread(cpu);
    bound_to = cpu;
    job();
    lock.lock();
    side.state = State::kEnded;
    ended_.notify_all();
  }
}

void LaneThreads::start(int side, int cpu, std::function<void()> job) {
  {
    const std::lock_guard lock(mutex_);
    CHECK(at(side).state == State::kFree);
    at(side).state = State::kRunning;
    at(side).cpu = cpu;
    at(side).job = std::move(job);
  }
  at(side).started.notify_one();
}

bool LaneThreads::take_ended(int side) {
  const std::lock_guard lock(mutex_);
  if (at(side).state != State::kEnded) return false;
  at(side).state = State::kFree;
  return true;
}

void LaneThreads::wait_any(std::optional<std::chrono::milliseconds> at_most) {
  const auto any_ended = [&] {
    const auto in = [](State state) { return [state](const Side& side) { return side.state == state; }; };
    return std::ranges::any_of(sides_, in(State::kEnded)) || std::ranges::none_of(sides_, in(State::kRunning));
  };
  std::unique_lock lock(mutex_);
  if (at_most) {
    ended_.wait_for(lock, *at_most, any_ended);
  } else {
    ended_.wait(lock, any_ended);
  }
}

void LaneThreads::wait(int side) {
  std::unique_lock lock(mutex_);
  ended_.wait(lock, [&] { return at(side).state != State::kRunning; });
}

}  // namespace jigsaw
