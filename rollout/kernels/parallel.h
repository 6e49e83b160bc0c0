// How the kernels spread work over a lane, and each thread's scratch memory. Internal to this folder.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>

#include "core/lane.h"

namespace jigsaw::kernels {

// This thread's scratch: at least `count` floats, 64-byte aligned, contents undefined. It grows and is kept until the
// thread ends, so a kernel allocates nothing once warm. Valid until the next call on the same thread.
float* thread_scratch(std::size_t count);

// Calls f(item) once for each item in [0, count). Threads take the next item when they are done with one, so items may
// differ in size and cores in speed; what an item computes must not depend on who computes it.
template <class F>
void for_each_item(Lane& lane, std::int64_t count, F&& f) {
  if (count <= 1 || lane.num_threads() == 1) {
    for (std::int64_t i = 0; i < count; ++i) f(i);
    return;
  }
  std::atomic<std::int64_t> next{0};
  const auto take_items = [&](std::int64_t, std::int64_t) {
    for (std::int64_t i = next.fetch_add(1); i < count; i = next.fetch_add(1)) f(i);
  };
  lane.parallel_for(std::min<std::int64_t>(count, lane.num_threads()), 1, std::cref(take_items));
}

// Calls f(begin, end) on ranges that cover [0, count); each holds at least `work_min` units of work where possible.
template <class F>
void for_each_range(Lane& lane, std::int64_t count, std::int64_t work_per_item, F&& f) {
  constexpr std::int64_t kWorkMin = 16384;  // below some microseconds a second thread costs more than it brings
  const std::int64_t grain = std::max<std::int64_t>(1, kWorkMin / std::max<std::int64_t>(1, work_per_item));
  lane.parallel_for(count, grain, std::cref(f));
}

}  // namespace jigsaw::kernels
