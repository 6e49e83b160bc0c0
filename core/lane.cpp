#include "core/lane.h"

#include <sched.h>
#include <tbb/task_arena.h>
#include <tbb/task_group.h>
#include <tbb/task_scheduler_observer.h>

#include <algorithm>
#include <optional>
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
  Arena(int num_threads, std::vector<int> cpus) : arena(num_threads), pinning(arena, std::move(cpus)) {}
  tbb::task_arena arena;
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
    tbb::task_group group;
    for (std::int64_t part = 1; part < parts; ++part) {
      group.run([&, part] { body(count * part / parts, count * (part + 1) / parts); });
    }
    body(0, count / parts);
    group.wait();
  });
}

}  // namespace jigsaw
