// What may start on a worker beside what runs there; used by all policies, so that none can block another's updates.
#pragma once

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
  int num_computing(int worker) const { return computing_[static_cast<std::size_t>(worker)]; }

 private:
  bool is_gang_member(int pipeline) const;
  bool waits_as_gang(NodeRef ref) const;
  bool gang_has_room(int pipeline) const;

  const Plan* plan_;  // both outlive this; pointers, so that it can be assigned
  const Capacity* capacity_;
  int corun_max_;
  std::vector<int> computing_;               // by worker, [0] unused
  std::vector<std::vector<NodeRef>> added_;  // by worker
  std::vector<bool> kept_for_gang_;          // by worker: a gang waits for room there
  std::vector<int> gangs_;                   // pipelines with updates that have begun and not ended, ascending
};

// Whether a pipeline is paused and has come to rest. A policy that gives turns must not wait for it: its turn would
// last for as long as people please.
bool is_held(const Plan& plan, int pipeline);

// Between the first start and the last end of a step's updates of this pipeline: others' updates may have to wait for
// it.
bool update_under_way(const Plan& plan, int pipeline);

// Whether a ready node is an update of a layer that has begun on another worker.
bool is_of_open_gang(const Plan& plan, NodeRef ref);

// Ready nodes in the order in which policies should offer them room: gangs under way first, then by pipeline.
std::vector<NodeRef> ready_in_order(const Plan& plan);

}  // namespace jigsaw
