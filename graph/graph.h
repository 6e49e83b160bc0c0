// The sub-stage graph of one step of one pipeline. Immutable once built; everything that changes is in
// scheduler/plan.h. Steps are joined to a look-ahead window in graph/window.h.
//
//   prefill@1 - decode.bulk@1 - decode.tail@1 - reward@1 --+--> logprob@1 --+--> update#0@1 --+--> checkpoint@1
//   prefill@2 - decode.bulk@2 - decode.tail@2 - reward@2 --+--> logprob@2 --+--> update#0@2 --+
//
// Along a rollout a worker goes by itself, as its passes become narrower; between layers stands a barrier. A rollout
// with tools has a chain a turn.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/result.h"
#include "graph/pipeline_spec.h"
#include "graph/sub_stage_kind.h"

namespace jigsaw {

struct Node {
  SubStageKind kind = SubStageKind::kPrefill;
  int worker = 1;                      // 1..num_workers
  int turn = 0;                        // of the rollout
  int update = 0;                      // of the step; kUpdate only
  bool continues = false;              // the node numbered before it goes over into it, without a dispatch
  int barrier = -1;                    // opens before this node; -1 = none within the step
  int closes = -1;                     // the barrier that waits for this node; -1 = none within the step
  std::vector<std::uint32_t> samples;  // first of a rollout, and kLogprob: of the step, ascending, whole groups
};

// Opens when all of `waits_for` are done.
struct Barrier {
  std::vector<int> waits_for;
  std::vector<int> releases;
};

class Graph {
 public:
  // Node numbers stand for nodes: 0 .. nodes().size()-1, in an order that respects all edges. Steps with and without a
  // checkpoint differ in the last node only.
  static Graph build(const PipelineSpec& spec, std::int64_t step, int num_workers);

  const std::vector<Node>& nodes() const { return nodes_; }
  const Node& node(int index) const { return nodes_[static_cast<std::size_t>(index)]; }
  const std::vector<Barrier>& barriers() const { return barriers_; }
  // Of one worker, ascending.
  std::span<const int> nodes_on(int worker) const;
  std::vector<int> predecessors(int index) const;
  // Whether node index + 1 continues this one.
  bool continues_after(int index) const {
    return index + 1 < static_cast<int>(nodes_.size()) && node(index + 1).continues;
  }

  // kInternal with the offending node: edges point forward, every barrier is waited for and closed by all nodes of its
  // layer, chains stay on one worker, no node is an orphan, every sample is rolled out exactly once.
  Status validate(const PipelineSpec& spec) const;

 private:
  std::vector<int> add_layer(std::vector<Node> layer, const std::vector<int>& after);
  void index_by_worker(int num_workers);
  std::vector<Node> nodes_;
  std::vector<Barrier> barriers_;
  std::vector<int> by_worker_, begin_of_worker_;  // node indices, worker after worker; where each one's begin
};

// "decode.tail@2", "update#1@1", "prefill/2@1" in the second turn
std::string to_string(const Node& node);

// Worker (1..num_workers) of each gradient slot: runs of neighbours, so that the slot tree's lower levels stay local.
std::vector<std::uint32_t> slot_owners(int grad_slots, int num_workers);
// The samples that update `update` of a step trains: an equal run of the prompts.
std::pair<std::uint32_t, std::uint32_t> update_samples(const PipelineSpec& spec, int update);

}  // namespace jigsaw
