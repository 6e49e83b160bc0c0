// A lane: a share of this machine's cores on which one sub-stage computes (a oneTBB task arena, threads pinned where
// the machine allows). parallel_for is called from the executor thread and returns when all parts are done. Nothing
// computed on a lane may depend on num_threads(): parts must be independent of each other.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

namespace jigsaw {

class Lane {
 public:
  // num_threads >= 1; 1 never leaves the calling thread.
  explicit Lane(int num_threads);
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
