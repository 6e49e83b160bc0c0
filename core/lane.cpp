#include "core/lane.h"

#include <sched.h>
#include <tbb/task_arena.h>
#include <tbb/task_group.h>
#include <tbb/task_scheduler_observer.h>

#include <algorithm>
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

void pause_briefly() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Spins until `is_over`, and lets others have the core while there are any; for waits of microseconds. False when
// `at_most` has passed first.
template <class F>
bool spin_until(F&& is_over, std::chrono::nanoseconds at_most) {
  constexpr int kLooksPerYield = 64;
  const auto begin = std::chrono::steady_clock::now();
  while (true) {
    for (int i = 0; i < kLooksPerYield; ++i) {
      if (is_over()) return true;
      pause_briefly();
    }
    if (std::chrono::steady_clock::now() - begin >= at_most) return false;
    std::this_thread::yield();
  }
}

// Some schedulers put two threads on one core, and leave the one beside it idle, for as long as both run: packing saves
// energy. They also put them back at once, so a thread that leaves a core stays away from it for a while. Of one
// thread.
class Parting {
 public:
  Parting() = default;
  ~Parting() { come_back(); }
  Parting(const Parting&) = delete;
  Parting& operator=(const Parting&) = delete;

  // `cpu` < 0: nobody's. To be called from time to time.
  void keep_from(int cpu) {
    const bool is_shared = cpu >= 0 && sched_getcpu() == cpu;
    if (!is_shared && !is_away_) return;
    const auto now = std::chrono::steady_clock::now();
    if (now - parted_ < kStayAway) return;  // once in a while only: there may be no free core at all
    come_back();
    if (!is_shared || sched_getaffinity(0, sizeof all_, &all_) != 0 || CPU_COUNT(&all_) < 2) return;
    cpu_set_t others = all_;
    CPU_CLR(static_cast<std::size_t>(cpu), &others);
    parted_ = now;
    is_away_ = sched_setaffinity(0, sizeof others, &others) == 0;
  }

 private:
  static constexpr std::chrono::milliseconds kStayAway{20};

  void come_back() {
    if (std::exchange(is_away_, false)) (void)sched_setaffinity(0, sizeof all_, &all_);
  }

  std::chrono::steady_clock::time_point parted_{};
  cpu_set_t all_{};  // where this thread may run, while it is away
  bool is_away_ = false;
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

// A call is a job of so many parts, which the caller and its helpers take one by one. Helpers are tasks of the arena.
// They stay for kStay after a job, so that the next one, which is mostly there within microseconds, finds them awake:
// to wake a thread can take longer than a whole product of matrices.
struct Lane::Arena {
  using Body = std::function<void(std::int64_t begin, std::int64_t end)>;

  Arena(int num_threads, std::vector<int> cpus) : arena(num_threads), pinning(arena, std::move(cpus)) {}
  ~Arena() {
    is_ending.store(true);
    arena.execute([this] { helpers.wait(); });
  }

  void run(std::int64_t parts, std::int64_t of_count, const Body& its_body) {
    CHECK(num_left.load() == 0);  // no call from within a part
    body = &its_body;
    count = of_count;
    num_left.store(parts, std::memory_order_relaxed);
    caller_cpu.store(sched_getcpu(), std::memory_order_relaxed);
    state.store(pack((state.load() >> 32) + 1, parts));
    const std::int64_t missing = parts - 1 - num_called.load();
    if (missing > 0) {
      num_called += missing;
      arena.execute([&] {
        for (std::int64_t i = 0; i < missing; ++i) helpers.run([this] { help(); });
      });
    }
    while (take_part()) continue;
    (void)spin_until([this] { return num_left.load(std::memory_order_acquire) == 0; }, std::chrono::nanoseconds::max());
  }

  tbb::task_arena arena;
  Pinning pinning;

 private:
  static constexpr std::chrono::microseconds kStay{200};
  static constexpr std::uint64_t kPartsMax = std::uint64_t{1} << 16;

  // In one word, so that nobody takes a part of a job that is over: the job's number, its parts, and those not taken.
  static std::uint64_t pack(std::uint64_t number, std::int64_t parts) {
    CHECK(parts < static_cast<std::int64_t>(kPartsMax));
    return number << 32 | static_cast<std::uint64_t>(parts) << 16 | static_cast<std::uint64_t>(parts);
  }
  static std::int64_t not_taken(std::uint64_t word) { return static_cast<std::int64_t>(word % kPartsMax); }

  // One part of the current job; false when all are taken.
  bool take_part() {
    std::uint64_t word = state.load();
    do {
      if (not_taken(word) == 0) return false;
    } while (!state.compare_exchange_weak(word, word - 1));
    // The job is not over before this part is done.
    const auto parts = static_cast<std::int64_t>(word >> 16) % static_cast<std::int64_t>(kPartsMax);
    const std::int64_t part = parts - not_taken(word);
    (*body)(count * part / parts, count * (part + 1) / parts);
    num_left.fetch_sub(1, std::memory_order_release);
    return true;
  }

  void help() {
    Parting parting;
    while (true) {
      parting.keep_from(caller_cpu.load(std::memory_order_relaxed));
      while (take_part()) continue;
      const auto has_parts = [this] { return not_taken(state.load()) > 0 || is_ending.load(); };
      if (spin_until(has_parts, kStay) && !is_ending.load()) continue;
      // A caller that counts on this helper has published its job before it looks at their number.
      --num_called;
      if (not_taken(state.load()) == 0 || is_ending.load()) return;
      ++num_called;
    }
  }

  const Body* body = nullptr;
  std::int64_t count = 0;
  std::atomic<std::uint64_t> state{0};
  std::atomic<std::int64_t> num_left{0};    // parts that are not done
  std::atomic<std::int64_t> num_called{0};  // helpers that are here, or on their way: a busy system may let them wait
  std::atomic<int> caller_cpu{-1};
  std::atomic<bool> is_ending{false};
  tbb::task_group helpers;
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
  arena_->run(parts, count, body);
}

}  // namespace jigsaw
