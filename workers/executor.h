// The cooperative executor of a worker: runs quanta of the runnable sub-stages, by weighted fair choice of the one that
// would have had the least time for its share after its next quantum (fair queueing by virtual end times: a newcomer
// starts level with the others, a small share comes late even then, and nothing is saved up while waiting).
//
// One runnable sub-stage, or one thread: a quantum at a time on all cores, on the thread that calls step(). Two or more
// on several threads: two of them compute at the same time, each on its lane (workers/lane_set.h), whose width follows
// the shares; more than two take turns on the two. The thread that calls step() then only polls and coordinates. Time
// counts by the cores it was spent on.
//
//   step(): account for quanta that ended -> poll() those that do not run -> start on free lanes -> wait for an end
//
// Everything here is called from one thread, the executor thread. step() blocks for a quantum at most, cancel() and
// finish_quanta() for those under way. A short quantum is repeated on its lane until kSlice has passed, so that handing
// over between threads stays small against it.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/clock.h"
#include "core/lane.h"
#include "core/result.h"
#include "workers/lane_set.h"
#include "workers/lane_threads.h"
#include "workers/sub_stage.h"

namespace jigsaw {

class Executor {
 public:
  static constexpr std::chrono::milliseconds kSlice{2};
  // How often step() returns while a lane is free or a sub-stage waits for others, who may make it runnable.
  static constexpr std::chrono::milliseconds kPollEvery{1};
  static constexpr double kQuantumAtLeastS = 0.005;  // expected of one, the first included

  // `cpus`: as for LaneSet.
  Executor(int num_threads, const Clock& clock, std::vector<int> cpus = {});

  struct Entry {
    std::uint64_t node = 0;  // the controller's id
    int pipeline = 0;
    double share = 1;
    std::unique_ptr<SubStage> stage;
    double busy_s = 0;     // in quanta, whatever their width
    double virtual_s = 0;  // time on the whole worker / share
    double quantum_s = 0;  // of the last quantum, on the whole worker; what the next one is expected to take
    double longest_quantum_s = 0;
    bool cancelled = false;
    bool running = false;  // a quantum is under way on a lane: `stage` is not ours
    double virtual_end_s() const { return virtual_s + std::max(quantum_s, kQuantumAtLeastS) / share; }
  };

  // quantum_s: what its first quantum is expected to take on the whole worker; 0 = not known.
  void start(std::uint64_t node, int pipeline, double share, std::unique_ptr<SubStage> stage, double quantum_s = 0);
  // Polls all sub-stages and runs quanta; false when none was runnable.
  Result<bool> step();
  // Sub-stages that are done since the last call, in order of node.
  std::vector<Entry> take_done();
  // Cancels what can be cancelled of this pipeline; take_done() returns it.
  void cancel(int pipeline);
  // Abandons what can be abandoned of all pipelines; take_done() returns it.
  void abandon_all();
  // From the next quantum on. What the sub-stage has had stays counted by the share it had then; no effect when there
  // is no such node (any more).
  void reshare(std::uint64_t node, double share);
  // Waits for the quanta under way of this pipeline that touch any of `parts`. After it, and until the next step(),
  // these may be touched from here.
  void finish_quanta(int pipeline, PipelineParts parts);

  bool empty() const { return entries_.empty(); }
  double busy_s(std::uint64_t node) const;  // 0 when there is no such node
  std::string waiting_for() const;

 private:
  // What runs on a side. Written by its thread while it does.
  struct Quantum {
    std::uint64_t node = 0;
    int width = 0;
    double seconds = 0;
    Status status = ok_status();
  };
  Status account_ended();
  void account(Entry& entry, double seconds, int width);
  Entry* find(std::uint64_t node);
  Entry* pick(const Entry* beside);
  int num_contenders() const;
  bool something_may_come() const;
  Status run_alone(Entry& entry);
  void start_on(int side, int width, Entry& entry);
  void start_pair(Entry& first, Entry& second);
  void start_beside(int running_side, Entry& entry);
  Partition partition(const Entry& first, const Entry& second);

  const Clock& clock_;
  LaneSet lanes_;
  PartitionChooser chooser_;
  std::vector<Entry> entries_;                                // ascending by node
  std::array<std::optional<Quantum>, kNumLaneSides> quanta_;  // by side
  std::optional<LaneThreads> threads_;                        // ends before what its jobs use; none with one thread
};

}  // namespace jigsaw
