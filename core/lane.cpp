#include "core/lane.h"

#include <sched.h>
#include <tbb/task_arena.h>
#include <tbb/task_group.h>
#include <tbb/task_scheduler_observer.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <optional>
#include <thread>
#include <utility>

#include "core/check.h"

namespace jigsaw {
namespace {

// Where this thread ran before it was bound.
thread_local std::optional<cpu_set_t> affinity_before;

// Binds each worker thread to the CPU of its place as it enters the arena, and frees it as it leaves.
class Pinning : public tbb::task_scheduler_observer {
 public:
  Pinning(tbb::task_arena& arena, std::vector<int> cpus) : tbb::task_scheduler_observer(arena), cpus_(std::move(cpus)) {
    if (!cpus_.empty()) observe(true);
  }
  ~Pinning() override { observe(false); }
  Pinning(const Pinning&) = delete;
  Pinning& operator=(const Pinning&) = delete;

  void on_scheduler_entry(bool is_worker) override {
    const int place = tbb::this_task_arena::current_thread_index();
    if (!is_worker || place < 0 || place >= static_cast<int>(cpus_.size())) return;
    cpu_set_t before;
    if (sched_getaffinity(0, sizeof before, &before) != 0) return;
    affinity_before = before;
    bind_this_thread(cpus_[static_cast<std::size_t>(place)]);
  }
  void on_scheduler_exit(bool is_worker) override {
    if (!is_worker || !affinity_before) return;
    sched_setaffinity(0, sizeof *affinity_before, &*affinity_before);
    affinity_before.reset();
  }

 private:
  std::vector<int> cpus_;
};

// The cores on which threads compute in one call. The system is slow to part two threads that have come to share a core
// (seconds, on some virtual machines), while another core idles: whoever finds its core taken moves to a free one, and
// stays free to be moved.
class Cores {
 public:
  // By the caller, before the others begin.
  Cores() { (void)take(sched_getcpu()); }

  void leave_a_shared_one() {
    if (std::this_thread::get_id() == caller_ || take(sched_getcpu())) return;
    thread_local std::chrono::steady_clock::time_point last_move;
    const auto now = std::chrono::steady_clock::now();
    if (now - last_move < kMoveEvery) return;  // other work has the free ones
    last_move = now;
    cpu_set_t usable;
    if (sched_getaffinity(0, sizeof usable, &usable) != 0) return;
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (!CPU_ISSET(static_cast<std::size_t>(cpu), &usable) || !take(cpu)) continue;
      bind_this_thread(cpu);
      (void)sched_setaffinity(0, sizeof usable, &usable);
      return;
    }
  }

 private:
  static constexpr std::chrono::milliseconds kMoveEvery{10};

  // Whether it was free.
  bool take(int cpu) {
    if (cpu < 0 || cpu >= CPU_SETSIZE) return true;
    const std::uint64_t bit = std::uint64_t{1} << (cpu % 64);
    return (taken_[static_cast<std::size_t>(cpu / 64)].fetch_or(bit, std::memory_order_relaxed) & bit) == 0;
  }

  const std::thread::id caller_ = std::this_thread::get_id();
  std::array<std::atomic<std::uint64_t>, CPU_SETSIZE / 64> taken_{};
};

}  // namespace

std::vector<int> usable_cpus() {
  std::vector<int> cpus;
  cpu_set_t mask;
  if (sched_getaffinity(0, sizeof mask, &mask) != 0) return {0};
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(static_cast<std::size_t>(cpu), &mask)) cpus.push_back(cpu);
  }
  return cpus;
}

void bind_this_thread(int cpu) {
  if (cpu < 0 || cpu >= CPU_SETSIZE) return;
  cpu_set_t wanted;
  CPU_ZERO(&wanted);
  CPU_SET(static_cast<std::size_t>(cpu), &wanted);
  (void)sched_setaffinity(0, sizeof wanted, &wanted);
}

struct Lane::Arena {
  Arena(int num_threads, std::vector<int> cpus)
      : arena(num_threads), is_pinned(!cpus.empty()), pinning(arena, std::move(cpus)) {}
  tbb::task_arena arena;
  const bool is_pinned;
  Pinning pinning;
};

Lane::Lane(int num_threads) : num_threads_(num_threads) {
  CHECK(num_threads >= 1);
  if (num_threads > 1) arena_ = std::make_unique<Arena>(num_threads, std::vector<int>{});
}

Lane::Lane(std::vector<int> cpus) : num_threads_(static_cast<int>(cpus.size())) {
  CHECK(!cpus.empty());
  for (const int cpu : cpus) CHECK(cpu >= 0 && cpu < CPU_SETSIZE);
  if (num_threads_ > 1) arena_ = std::make_unique<Arena>(num_threads_, std::move(cpus));
}

Lane::~Lane() = default;

void Lane::parallel_for(std::int64_t count, std::int64_t grain,
                        const std::function<void(std::int64_t, std::int64_t)>& body) {
  if (count <= 0) return;
  const std::int64_t parts = std::clamp<std::int64_t>(count / std::max<std::int64_t>(grain, 1), 1, num_threads_);
  if (parts == 1) {
    body(0, count);
    return;
  }
  arena_->arena.execute([&] {
    Cores cores;
    tbb::task_group group;
    for (std::int64_t part = 1; part < parts; ++part) {
      group.run([&, part] {
        if (!arena_->is_pinned) cores.leave_a_shared_one();
        body(count * part / parts, count * (part + 1) / parts);
      });
    }
    body(0, count / parts);
    group.wait();
  });
}

}  // namespace jigsaw
