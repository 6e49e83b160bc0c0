// What would come of it: the windows of all pipelines, simulated on predicted durations from the plan's state on. The
// look-ahead policy scores its options with it.
#pragma once

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "scheduler/policy.h"

namespace jigsaw {

// A first move with a ready node.
struct Move {
  NodeRef node;
  // Weight against what runs on the worker, or empty: held until something ends there.
  std::optional<double> weight;
};

// What else is done at once.
struct Changes {
  std::vector<std::pair<NodeRef, double>> weights{};  // of running nodes
  std::vector<std::pair<NodeRef, NodeRef>> merges{};  // from, to; all of them simulated or none
};

// How nodes start after the first moves.
enum class BasePolicy {
  kGreedy,     // as soon as there is room
  kExclusive,  // as soon as nothing else computes on the worker
};

struct Prospect {
  bool is_stuck = false;         // the moves leave a worker with ready nodes and nothing that runs
  std::vector<double> finish_s;  // by pipeline, from now: end of its window; 0 for those that are done
  double first_end_s = 0;        // of the first window to end; until then all pipelines are there
  std::vector<double> progress;  // by pipeline: part of the window's work that is done by then
  double end_s = 0;              // of the last one
};

class Outlook {
 public:
  // `workers`, ascending, stand for all; other pipelines than `pipelines`, which are not done and have a forecast, are
  // as if they were not there.
  Outlook(const Plan& plan, const Capacity& capacity, Clock::TimePoint now, std::vector<int> workers,
          std::vector<int> pipelines);
  // Of all pipelines, on representatives().
  Outlook(const Plan& plan, const Capacity& capacity, Clock::TimePoint now);
  // Workers that stand for all: all of up to kWorkersMax, else evenly spaced ones, as far as possible such that roll
  // out samples.
  static constexpr int kWorkersMax = 8;
  static std::vector<int> representatives(const Plan& plan);

  // Ready nodes without a move start by the base policy.
  Prospect after(const std::vector<Move>& moves, BasePolicy base, const Changes& changes = {}) const;
  // The worker is one of those that are simulated.
  bool is_simulated(int worker) const { return place_of(worker) >= 0; }
  const std::vector<int>& workers() const { return workers_; }
  const std::vector<int>& pipelines() const { return pipelines_; }
  // What a call of after() is about: nodes that are not done.
  std::int64_t num_open() const { return num_open_; }
  // Seconds until the end of this pipeline's window if all others stood still.
  double alone_s(int pipeline) const;
  ~Outlook();
  Outlook(const Outlook&) = delete;
  Outlook& operator=(const Outlook&) = delete;

 private:
  enum class State : char { kWaiting, kReady, kHeld, kRunning, kDone };
  struct SimNode {
    int pipeline = 0, worker = 0;  // worker: place among the simulated ones
    SubStageKind kind = SubStageKind::kPrefill;
    int next = -1;       // that continues it
    int first_end = -1;  // of ends_: the joints that wait for it
  };
  // In a list through ends_, in no order.
  struct End {
    int joint = 0, next = -1;
  };
  // Opens when so many nodes are done.
  struct Joint {
    int open = 0;
    std::vector<int> releases;
  };
  class Sim;
  Sim& fresh_sim(BasePolicy base) const;

  void add_pipeline(int pipeline);
  void merge(Sim& sim, const std::vector<std::pair<NodeRef, NodeRef>>& merges) const;
  void add_joint(const std::vector<int>& waits_for, std::vector<int> releases);
  void add_step(int pipeline, std::int64_t step);
  void add_cross_step_edges(int pipeline);
  int place_of(int worker) const;  // -1: not simulated
  int id_of(NodeRef ref) const;    // the same
  // Ids of a pipeline's nodes in one step, place after place.
  struct Range {
    int begin = 0, end = 0;
  };
  Range range_of(int pipeline) const;

  const Plan& plan_;
  const Capacity& capacity_;
  const Clock::TimePoint now_;
  const std::vector<int> workers_, pipelines_;
  std::int64_t num_open_ = 0;
  std::vector<SimNode> nodes_;
  std::vector<End> ends_;
  std::vector<Joint> joints_;
  std::vector<int> waits_;       // by node: joints that are still closed before it
  std::vector<double> left_s_;   // by node: work
  std::vector<double> weights_;  // by node
  std::vector<State> states_;    // by node
  // By pipeline, step of the window, place: its first id; a last one is where the step's ids end.
  std::vector<std::vector<std::vector<int>>> first_ids_;
  mutable std::unique_ptr<Sim> sim_;  // one after the other: its memory is used again
};

}  // namespace jigsaw
