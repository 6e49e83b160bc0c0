// The look-ahead window of one pipeline: the graphs of neighbouring steps and the edges between them. Immutable; steps
// share a graph where they are alike.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "graph/graph.h"

namespace jigsaw {

// Nodes of kind `to` in step s wait for all nodes of kind `from` in step s + offset, where that step exists.
struct CrossStepEdge {
  SubStageKind from, to;
  int offset = -1;

  bool waits_for(const Node& node) const { return node.kind == from; }
  bool holds(const Node& node) const { return node.kind == to && node.update == 0 && !node.continues; }
};

// Of this pipeline's mode:
//   sync              the first layer waits for the update of the step before
//   staleness n >= 1  rollouts have n copies of the weights. sync of step s makes one after update s-1-n, in the place
//                     of the one that rollouts s-n use, so it waits for all of these (when a worker is lost, others
//                     make its rollouts, and need the weights for that), and for checkpoint s-1-n, which saves the
//                     copies, too; rollouts s wait for sync s and for rollouts s-1, sync s for sync s-1; update s waits
//                     for sync s+n, which is the last to want the weights before it, and for update s-1
//   any               an update waits for the checkpoint of the step before, which reads the weights
// `to` = kUpdate means a step's first update, `from` = kUpdate its last one, `from` = kReward the rollout's end.
std::vector<CrossStepEdge> cross_step_edges(const PipelineSpec& spec);

class Window {
 public:
  Window() = default;
  // Steps first_step .. last_step, as far as the pipeline has them (from 1).
  static Window build(const PipelineSpec& spec, std::int64_t first_step, std::int64_t last_step, int num_workers);
  // Steps of a window that the rules above need, and the look-ahead to the end of the next step.
  static std::int64_t length(const PipelineSpec& spec) { return 2 + spec.staleness; }

  std::int64_t first_step() const { return first_step_; }
  std::int64_t last_step() const { return first_step_ + static_cast<std::int64_t>(steps_.size()) - 1; }
  bool has(std::int64_t step) const { return step >= first_step_ && step <= last_step(); }
  const Graph& graph(std::int64_t step) const { return *steps_[static_cast<std::size_t>(step - first_step_)]; }
  const std::shared_ptr<const Graph>& shared_graph(std::int64_t step) const {
    return steps_[static_cast<std::size_t>(step - first_step_)];
  }
  const std::vector<CrossStepEdge>& cross_step_edges() const { return edges_; }

  // kInternal with the offending node: each step's graph is valid, and all edges together have no cycle.
  Status validate(const PipelineSpec& spec) const;
  // Seconds of the longest chain, when a node alone takes seconds(step, index).
  double critical_path(const std::function<double(std::int64_t step, int index)>& seconds) const;

  std::string to_text(std::string_view pipeline) const;
  std::string to_dot(std::string_view pipeline) const;  // Graphviz
  std::string to_json(
      std::string_view pipeline) const;  // {"pipeline","nodes":[{"id","kind","step",..}],"edges":[[a,b]]}

 private:
  // All nodes numbered through, and what ties them: barriers, and edges between steps as barriers.
  struct Flat {
    std::vector<std::pair<std::int64_t, int>> nodes;  // step, index
    std::vector<Barrier> barriers;
    std::vector<std::vector<int>> held_by, closes;  // by node: barriers
    std::vector<bool> continues;                    // the node before
    std::vector<int> before(int id) const;
  };
  Flat flatten() const;
  // An order that respects all edges; shorter than the nodes when there is a cycle.
  static std::vector<int> topological_order(const Flat& flat);

  std::int64_t first_step_ = 1;
  std::vector<std::shared_ptr<const Graph>> steps_;
  std::vector<CrossStepEdge> edges_;
};

}  // namespace jigsaw
