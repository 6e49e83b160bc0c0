// The cooperative executor of a worker's lane: runs one quantum at a time, of the runnable sub-stage that has had the
// least time for its share (start-time fair queueing: a newcomer starts level with the others, and nothing is saved up
// while waiting).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/clock.h"
#include "core/lane.h"
#include "core/result.h"
#include "workers/sub_stage.h"

namespace jigsaw {

class Executor {
 public:
  Executor(int num_threads, const Clock& clock) : lane_(num_threads), clock_(clock) {}

  struct Entry {
    std::uint64_t node = 0;  // the controller's id
    int pipeline = 0;
    double share = 1;
    std::unique_ptr<SubStage> stage;
    double busy_s = 0;
    double virtual_s = 0;  // busy time / share
    bool cancelled = false;
  };

  void start(std::uint64_t node, int pipeline, double share, std::unique_ptr<SubStage> stage);
  // Polls all sub-stages and runs one quantum; false when none was runnable.
  Result<bool> step();
  // Sub-stages that are done since the last call, in order of node.
  std::vector<Entry> take_done();
  // Cancels what can be cancelled of this pipeline; take_done() returns it.
  void cancel(int pipeline);

  Lane& lane() { return lane_; }
  bool empty() const { return entries_.empty(); }
  std::string waiting_for() const;

 private:
  Lane lane_;
  const Clock& clock_;
  std::vector<Entry> entries_;  // ascending by node
};

}  // namespace jigsaw
