#include "scheduler/plan.h"

#include <algorithm>

#include "core/check.h"

namespace jigsaw {

Plan::Plan(std::vector<PipelineSpec> specs, std::span<const std::int64_t> first_steps, int num_workers)
    : specs_(std::move(specs)), runs_(specs_.size()), num_workers_(num_workers) {
  CHECK(first_steps.size() == specs_.size());
  for (int pipeline = 0; pipeline < num_pipelines(); ++pipeline) {
    begin_step(pipeline, first_steps[static_cast<std::size_t>(pipeline)]);
  }
}

void Plan::begin_step(int pipeline, std::int64_t step) {
  Run& run = runs_[static_cast<std::size_t>(pipeline)];
  if (step > spec(pipeline).steps) {
    run.done = true;
    return;
  }
  run.graph = Graph::build(spec(pipeline), step, num_workers_);
  if (const Status status = run.graph.validate(spec(pipeline)); !status.ok()) CHECK_FAILED(status.error().message());
  run.states.assign(run.graph.nodes().size(), NodeState::kWaiting);
  for (int node = 0; node < static_cast<int>(run.states.size()); ++node) {
    if (run.graph.predecessors(node).empty()) run.states[static_cast<std::size_t>(node)] = NodeState::kReady;
  }
}

bool Plan::all_done() const {
  return std::all_of(runs_.begin(), runs_.end(), [](const Run& run) { return run.done; });
}

NodeState Plan::state(NodeRef ref) const {
  return runs_[static_cast<std::size_t>(ref.pipeline)].states[static_cast<std::size_t>(ref.node)];
}

bool Plan::step_finished(int pipeline) const {
  const auto& states = runs_[static_cast<std::size_t>(pipeline)].states;
  return std::all_of(states.begin(), states.end(), [](NodeState state) { return state == NodeState::kDone; });
}

bool Plan::step_started(int pipeline) const {
  const auto& states = runs_[static_cast<std::size_t>(pipeline)].states;
  return std::any_of(states.begin(), states.end(),
                     [](NodeState state) { return state == NodeState::kRunning || state == NodeState::kDone; });
}

bool Plan::kind_started(int pipeline, SubStageKind kind) const {
  const Run& run = runs_[static_cast<std::size_t>(pipeline)];
  for (std::size_t node = 0; node < run.states.size(); ++node) {
    const bool started = run.states[node] == NodeState::kRunning || run.states[node] == NodeState::kDone;
    if (started && run.graph.nodes()[node].kind == kind) return true;
  }
  return false;
}

namespace {

template <typename Runs>
std::vector<NodeRef> nodes_in_state(const Runs& runs, NodeState state) {
  std::vector<NodeRef> refs;
  for (std::size_t pipeline = 0; pipeline < runs.size(); ++pipeline) {
    if (runs[pipeline].done) continue;
    for (std::size_t node = 0; node < runs[pipeline].states.size(); ++node) {
      if (runs[pipeline].states[node] == state) refs.push_back({static_cast<int>(pipeline), static_cast<int>(node)});
    }
  }
  return refs;
}

}  // namespace

std::vector<NodeRef> Plan::ready() const { return nodes_in_state(runs_, NodeState::kReady); }
std::vector<NodeRef> Plan::running() const { return nodes_in_state(runs_, NodeState::kRunning); }

std::string Plan::waiting_for(int pipeline) const {
  std::string names;
  if (done(pipeline)) return names;
  const Run& run = runs_[static_cast<std::size_t>(pipeline)];
  for (int node = 0; node < static_cast<int>(run.states.size()); ++node) {
    if (run.states[static_cast<std::size_t>(node)] == NodeState::kReady) return "";
    if (run.states[static_cast<std::size_t>(node)] != NodeState::kRunning) continue;
    names += (names.empty() ? "" : ", ") + to_string(run.graph.node(node));
  }
  return names;
}

void Plan::start(NodeRef ref) {
  CHECK(state(ref) == NodeState::kReady);
  runs_[static_cast<std::size_t>(ref.pipeline)].states[static_cast<std::size_t>(ref.node)] = NodeState::kRunning;
}

void Plan::finish(NodeRef ref) {
  CHECK(state(ref) == NodeState::kRunning);
  Run& run = runs_[static_cast<std::size_t>(ref.pipeline)];
  run.states[static_cast<std::size_t>(ref.node)] = NodeState::kDone;
  for (const int next : run.graph.successors(ref.node)) {
    const auto& before = run.graph.predecessors(next);
    if (std::all_of(before.begin(), before.end(),
                    [&](int node) { return run.states[static_cast<std::size_t>(node)] == NodeState::kDone; })) {
      run.states[static_cast<std::size_t>(next)] = NodeState::kReady;
    }
  }
}

void Plan::advance(int pipeline) {
  CHECK(step_finished(pipeline));
  begin_step(pipeline, step(pipeline) + 1);
}

}  // namespace jigsaw
