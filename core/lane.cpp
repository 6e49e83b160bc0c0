#include "core/lane.h"

#include <tbb/task_arena.h>
#include <tbb/task_group.h>

#include <algorithm>

#include "core/check.h"

namespace jigsaw {

struct Lane::Arena {
  explicit Arena(int num_threads) : arena(num_threads) {}
  tbb::task_arena arena;
};

Lane::Lane(int num_threads) : num_threads_(num_threads) {
  CHECK(num_threads >= 1);
  if (num_threads > 1) arena_ = std::make_unique<Arena>(num_threads);
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
