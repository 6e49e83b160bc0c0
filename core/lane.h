// A lane: a share of this machine's cores on which one sub-stage computes (a oneTBB task arena, whose threads can be
// pinned). parallel_for is called from one thread at a time, never from within a part, and returns when all parts are
// done. Nothing computed on a lane may depend on num_threads(): parts must be independent of each other.
// For a fraction of a millisecond after a call the helping threads stay awake for the next one.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

namespace jigsaw {

// The CPUs that this process may run on, ascending; what lanes can be pinned to.
std::vector<int> usable_cpus();
// Binds the calling thread; for threads that are made to call into a lane with given CPUs. Where the system refuses, or
// there is no such CPU, nothing is bound.
void bind_this_thread(int cpu);

class Lane {
 public:
  // num_threads >= 1; 1 never leaves the calling thread. Threads run where the system puts them.
  explicit Lane(int num_threads);
  // A thread a CPU: while it works for this lane, the thread beside the caller at place i is bound to cpus[i] (i >= 1).
  // The caller is taken to be on cpus[0] and is left where it is. Whoever splits the machine into lanes knows the CPUs;
  // without that knowledge two processes would bind to the same ones. Where the system refuses, nothing is bound.
  explicit Lane(std::vector<int> cpus);
  ~Lane();
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  int num_threads() const { return num_threads_; }

  // Calls body(begin, end) on disjoint ranges that cover [0, count), each at least `grain` long where possible.
  void parallel_for(std::int64_t count, std::int64_t grain,
                    const std::function<void(std::int64_t begin, std::int64_t end)>& body);

 private:
  struct Arena;
  int num_threads_;
  std::unique_ptr<Arena> arena_;
};

}  // namespace jigsaw
