// The sub-stage graph of one step of one pipeline. Immutable once built; everything that changes is in
// scheduler/plan.h.
//
//   rollout@1 --+--> logprob@1 --+--> update#0@1 --+--> update#1@1 ... --> checkpoint@1
//   rollout@2 --+--> logprob@2 --+--> update#0@2 --+
//
// A barrier stands between kinds: each node waits for all nodes of the kind before it, on all workers. Rewards are
// asked for by the rollout node as its completions end, and are part of it.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "graph/pipeline_spec.h"

namespace jigsaw {

enum class SubStageKind { kRollout, kLogprob, kUpdate, kCheckpoint };
std::string_view to_string(SubStageKind kind);

struct Node {
  SubStageKind kind = SubStageKind::kRollout;
  int worker = 1;                      // 1..num_workers
  int update = 0;                      // of the step; kUpdate only
  std::vector<std::uint32_t> samples;  // kRollout and kLogprob: of the step, ascending, whole groups
};

class Graph {
 public:
  // Node numbers stand for nodes: 0 .. nodes().size()-1, in an order that respects all edges.
  static Graph build(const PipelineSpec& spec, std::int64_t step, int num_workers);

  std::int64_t step() const { return step_; }
  const std::vector<Node>& nodes() const { return nodes_; }
  const Node& node(int index) const { return nodes_[static_cast<std::size_t>(index)]; }
  const std::vector<int>& predecessors(int index) const { return predecessors_[static_cast<std::size_t>(index)]; }
  const std::vector<int>& successors(int index) const { return successors_[static_cast<std::size_t>(index)]; }

  // kInternal with the offending node: edges point forward, every node but the first kind waits for something, and
  // every sample is rolled out exactly once.
  Status validate(const PipelineSpec& spec) const;
  // Seconds of the longest chain, when node i alone takes seconds(i).
  double critical_path(const std::function<double(int)>& seconds) const;

  std::string to_text(std::string_view pipeline) const;
  std::string to_dot(std::string_view pipeline) const;  // Graphviz

 private:
  void add_layer(std::vector<Node> layer);
  std::int64_t step_ = 0;
  std::vector<Node> nodes_;
  std::vector<std::vector<int>> predecessors_, successors_;
  int layer_begin_ = 0;  // first node of the newest layer
};

// "rollout@2", "update#1@1"
std::string to_string(const Node& node);

// Worker (1..num_workers) of each gradient slot: runs of neighbours, so that the slot tree's lower levels stay local.
std::vector<std::uint32_t> slot_owners(int grad_slots, int num_workers);
// The samples that update `update` of a step trains: an equal run of the prompts.
std::pair<std::uint32_t, std::uint32_t> update_samples(const PipelineSpec& spec, int update);

}  // namespace jigsaw
