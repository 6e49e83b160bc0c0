// The run state over the graphs: where every pipeline stands. Owned by the controller's thread; policies read it.
//
// Of a node:  waiting --(predecessors done)--> ready --start()--> running --finish()--> done
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/clock.h"
#include "graph/graph.h"

namespace jigsaw {

enum class NodeState { kWaiting, kReady, kRunning, kDone };

struct NodeRef {
  int pipeline = 0;
  int node = 0;  // in the pipeline's current graph
  auto operator<=>(const NodeRef&) const = default;
};

class Plan {
 public:
  // first_steps: the first step of each pipeline, from 1; beyond the last step means that it is done already.
  Plan(std::vector<PipelineSpec> specs, std::span<const std::int64_t> first_steps, int num_workers);

  int num_pipelines() const { return static_cast<int>(specs_.size()); }
  int num_workers() const { return num_workers_; }
  const PipelineSpec& spec(int pipeline) const { return specs_[static_cast<std::size_t>(pipeline)]; }

  // A pipeline is done when its last step is, or once it was told to stop.
  bool done(int pipeline) const { return runs_[static_cast<std::size_t>(pipeline)].done; }
  bool all_done() const;
  const Graph& graph(int pipeline) const { return runs_[static_cast<std::size_t>(pipeline)].graph; }
  std::int64_t step(int pipeline) const { return graph(pipeline).step(); }
  NodeState state(NodeRef ref) const;
  bool step_finished(int pipeline) const;  // all nodes of the current step are done
  // Whether any node of the current step has been started, or any of this kind.
  bool step_started(int pipeline) const;
  bool kind_started(int pipeline, SubStageKind kind) const;

  std::vector<NodeRef> ready() const;    // ascending
  std::vector<NodeRef> running() const;  // ascending
  // What a pipeline with nothing ready waits for, e.g. "rollout@2, rollout@3"; empty when something is ready.
  std::string waiting_for(int pipeline) const;

  void start(NodeRef ref);
  void finish(NodeRef ref);
  // After step_finished: the next step's graph, or the pipeline is done.
  void advance(int pipeline);
  // The pipeline takes no further part.
  void stop(int pipeline) { runs_[static_cast<std::size_t>(pipeline)].done = true; }

 private:
  struct Run {
    Graph graph;
    std::vector<NodeState> states;
    bool done = false;
  };
  void begin_step(int pipeline, std::int64_t step);

  std::vector<PipelineSpec> specs_;
  std::vector<Run> runs_;
  int num_workers_;
};

}  // namespace jigsaw
