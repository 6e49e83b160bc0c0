// What may start on a worker beside what runs there; used by all policies, so that none can block another's updates.
#pragma once

#include <map>
#include <vector>

#include "scheduler/policy.h"

namespace jigsaw {

// Updates of one pipeline wait for each other across workers. If some workers gave their last room to pipeline A's
// update and others to B's, all would wait forever. So updates are admitted as gangs, by pipeline: a new gang may start
// only where all gangs under way and it have room together on any worker, and where a gang still waits for room,
// nothing else starts.
class Admission {
 public:
  // corun_max: sub-stages that may compute on a worker at a time.
  Admission(const Plan& plan, const Capacity& capacity, int corun_max);

  // Whether `ref`, a ready node, could start now, besides what was added.
  bool can_start(NodeRef ref) const;
  void add(NodeRef ref);
  // Sub-stages that compute on this worker, added ones included; those that wait for tools or rewards do not count.
  int num_computing(int worker) const { return on(worker).computing; }

 private:
  struct OnWorker {
    int computing = 0;
    std::vector<NodeRef> added{};
    bool is_kept_for_gang = false;  // an update of a gang under way waits for room here
  };
  OnWorker& on(int worker) const;
  bool is_gang_member(int pipeline) const;
  bool gang_has_room(int pipeline) const;
  bool has_room(const OnWorker& on, NodeRef ref) const;

  const Plan* plan_;  // both outlive this; pointers, so that it can be assigned
  const Capacity* capacity_;
  int corun_max_;
  mutable std::map<int, OnWorker> workers_;  // that were asked for
  std::vector<int> gangs_;                   // pipelines with updates that have begun and not ended, ascending
  std::vector<int> gangs_under_way_;         // without those that were added
};

// Whether a pipeline is paused and has come to rest. A policy that gives turns must not wait for it: its turn would
// last for as long as people please.
bool is_held(const Plan& plan, int pipeline);

// Whether a ready node is an update of a layer that has begun on another worker.
bool is_of_open_gang(const Plan& plan, NodeRef ref);

// Where a policy that decides worker by worker has something to decide, ascending: all of a few workers, and of more
// those that were touched.
inline constexpr int kAllWorkersMax = 8;
std::vector<int> workers_to_decide(const Plan& plan);

// Ready nodes of these workers in the order in which policies should offer them room: gangs under way first, then by
// pipeline.
std::vector<NodeRef> ready_in_order(const Plan& plan, const std::vector<int>& workers);
std::vector<NodeRef> all_ready_in_order(const Plan& plan);

}  // namespace jigsaw
