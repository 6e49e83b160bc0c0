// The interface of scheduling policies. Pure: choose() looks and answers, touches nothing, and draws on nothing but its
// arguments; ties break by pipeline, step and node. The same code drives real workers and simulated ones.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/clock.h"
#include "core/result.h"
#include "scheduler/cost/slowdown_table.h"
#include "scheduler/memory_ledger.h"
#include "scheduler/plan.h"

namespace jigsaw {

// What the workers have to give.
struct Capacity {
  int num_workers = 0;
  int corun_max = 2;  // sub-stages that compute on one worker at a time, for policies that run them together
  std::vector<double> splits = {0.25, 0.5, 0.75};  // shares that a sub-stage can have beside another
  // Time slices: who waits leaves its share to the others at once. Then holding a sub-stage back gains nothing that a
  // small share would not.
  bool is_work_conserving = false;
  // Whether sequences of running rollouts can move to another worker. Then a merge costs the worker that takes them in
  // merge_s of its time, and for each token of their contexts move_token_s, or where that is 0 a prefill of the
  // context.
  bool can_merge = false;
  double merge_s = 0.05;
  double move_token_s = 0;
  SlowdownTable slowdown{};
  MemoryLedger memory{};
};

// Something that could have been done, and what it was expected to lead to.
struct Option {
  std::string action;   // "start alone", "co-run with sort update#0@1 at 0.50", "wait for ..."
  double finish_s = 0;  // predicted end of the window, from now
  double score = 0;     // larger is better
};

// "start alone (window ends in 2.10 s, score 0.512); wait for .."
std::string to_text(const std::vector<Option>& options);

struct DispatchChoice {
  NodeRef node;
  double share = 1.0;  // weight against others on its worker
  std::string reason;  // for the log and `plan --explain`
  std::vector<Option> options{};
};
struct ShareChange {
  NodeRef node;  // running
  double share = 1.0;
  std::string reason;
};
// A ready node that is left waiting on purpose.
struct WaitChoice {
  NodeRef node;
  std::string reason;
  std::vector<Option> options{};
};
// All sequences of the running tail `from` move to the running tail `to` (Plan::can_merge), which frees from's worker.
// Merges of one decision may share their `to`.
struct MergeChoice {
  NodeRef from, to;
  std::string reason;
  std::vector<Option> options{};
};
struct Decision {
  std::vector<DispatchChoice> start;  // ready nodes to start now; the rest waits for the next event
  std::vector<ShareChange> reshare{};
  std::vector<WaitChoice> wait{};
  std::vector<MergeChoice> merge{};  // empty unless capacity.can_merge
};

class Policy {
 public:
  virtual ~Policy() = default;
  virtual std::string_view name() const = 0;
  virtual Decision choose(const Plan& plan, const Capacity& capacity, Clock::TimePoint now) const = 0;
};

// The registry's table. An unknown name is an error that lists the known ones.
std::vector<std::string> policy_names();
Result<std::unique_ptr<Policy>> make_policy(const std::string& name);

}  // namespace jigsaw
