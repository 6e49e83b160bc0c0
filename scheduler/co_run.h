// Who runs beside whom on each worker, and what that says of the slowdown table, which is refined as sub-stages end.
// Used by the controller and the simulator alike, on the thread of the plan.
//
// Of a node that took T_i seconds beside others at which the table says a slowdown of F_i, and T_0 by itself, and that
// would take W alone, the table is right when T_0 + sum T_i / F_i = W. Where it is not, every pair involved is off by
// the ratio (sum T_i / F_i) / (W - T_0), and moves that way by its part of W. So a ratio of 1 moves nothing, a single
// node moves a pair by little (kWeight, SlowdownTable::kRatioMax), and the order of events alone decides.
#pragma once

#include <cstdint>
#include <map>
#include <tuple>
#include <vector>

#include "scheduler/cost/slowdown_table.h"
#include "scheduler/plan.h"

namespace jigsaw {

// What a node ran beside, from its begin to its end.
struct CoRun {
  struct Other {  // that computes
    SubStageKind kind;
    double share;  // of this node against it
    bool operator==(const Other&) const = default;
  };
  struct Interval {
    std::vector<Other> others;  // at least one
    double seconds = 0;
  };
  double alone_s = 0;  // by itself
  std::vector<Interval> together{};

  double together_s() const;
};

class CoRuns {
 public:
  // Of the difference that a node shows, if it ran beside others all the time.
  static constexpr double kWeight = 0.2;
  // What ran beside others for less than this part of its work says nothing of them.
  static constexpr double kPartMin = 0.1;

  // `table` outlives this; only observe() changes it.
  CoRuns(SlowdownTable& table, int num_workers);

  // To be called after anything has started, ended, or got another share on the worker: notes how long things were as
  // they were before, and gives what runs now the speeds that the table says.
  void update(Plan& plan, int worker, Clock::TimePoint now);
  // What a running node has run beside until now, when it ends: before the plan is told.
  CoRun end(int worker, NodeRef ref, Clock::TimePoint now);
  // That node would have taken work_s by itself.
  //
  // Updates of a layer end together, and how long a worker has waited for the others nobody sees. So only one of them
  // speaks for its layer: the one that by the table has waited least, of all the plan's workers.
  void observe(const Plan& plan, NodeRef ref, const CoRun& run, double work_s);
  // What is noted is void; the table stays.
  void restart(int num_workers);

 private:
  struct Running {
    NodeRef ref;
    SubStageKind kind;
    double share;
    CoRun run;
  };
  struct OnWorker {
    std::vector<Running> running;
    Clock::TimePoint since;
  };
  // A node's work, alone and by the table.
  struct Account {
    SubStageKind kind = SubStageKind::kUpdate;
    CoRun run{};
    double work_s = 0, predicted_s = 0;  // predicted: what it did beside others
    double surplus() const { return (run.alone_s + predicted_s) / work_s; }
  };
  struct Layer {
    int num_ended = 0;
    Account least;
  };

  void note(OnWorker& on, Clock::TimePoint now);
  double slowdown(SubStageKind kind, const std::vector<CoRun::Other>& others) const;
  void learn(const Account& account);

  SlowdownTable& table_;
  std::vector<OnWorker> workers_;  // [0] unused
  std::vector<Running> before_;    // scratch
  std::vector<CoRun::Other> others_;
  std::vector<SubStageKind> kinds_;
  std::vector<double> shares_, rates_;
  std::map<std::tuple<int, std::int64_t, int>, Layer> layers_;  // updates by pipeline, step and update
};

}  // namespace jigsaw
