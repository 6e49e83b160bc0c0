#include "graph/graph.h"

#include <algorithm>
#include <numeric>

#include "core/check.h"

namespace jigsaw {
namespace {

// Whole groups to a worker: they share the prompt's KV blocks. Runs of neighbours, of sizes that differ by one at most.
std::vector<std::uint32_t> samples_of_worker(const PipelineSpec& spec, int worker, int num_workers) {
  const std::int64_t prompts = spec.prompts_per_step;
  const std::int64_t begin = prompts * (worker - 1) / num_workers, end = prompts * worker / num_workers;
  std::vector<std::uint32_t> samples;
  for (std::int64_t sample = begin * spec.group_size; sample < end * spec.group_size; ++sample) {
    samples.push_back(static_cast<std::uint32_t>(sample));
  }
  return samples;
}

// The kinds that a rollout of so many samples goes through.
std::vector<Node> rollout_chain(const PipelineSpec& spec, int worker, std::vector<std::uint32_t> samples) {
  std::vector<Node> chain;
  const bool has_bulk = static_cast<std::int64_t>(samples.size()) >= spec.bins.tail_below;
  const auto add = [&](SubStageKind kind, int turn) {
    chain.push_back({.kind = kind, .worker = worker, .turn = turn, .continues = !chain.empty(), .samples = {}});
  };
  for (int turn = 0; turn < spec.turns; ++turn) {
    if (turn > 0) add(SubStageKind::kTool, turn);
    add(SubStageKind::kPrefill, turn);
    if (has_bulk) add(SubStageKind::kDecodeBulk, turn);
    add(SubStageKind::kDecodeTail, turn);
  }
  add(SubStageKind::kReward, spec.turns - 1);
  chain.front().samples = std::move(samples);
  return chain;
}

}  // namespace

std::string to_string(const Node& node) {
  std::string text(to_string(node.kind));
  if (node.kind == SubStageKind::kUpdate) text += "#" + std::to_string(node.update);
  if (node.turn > 0) text += "/" + std::to_string(node.turn + 1);
  return text + "@" + std::to_string(node.worker);
}

// Returns the nodes that the next layer waits for.
std::vector<int> Graph::add_layer(std::vector<Node> layer, const std::vector<int>& after) {
  const int barrier = after.empty() ? -1 : static_cast<int>(barriers_.size());
  if (barrier >= 0) barriers_.push_back({.waits_for = after, .releases = {}});
  for (const int index : after) nodes_[static_cast<std::size_t>(index)].closes = barrier;
  std::vector<int> ends;
  for (Node& node : layer) {
    const int index = static_cast<int>(nodes_.size());
    if (!node.continues) {
      node.barrier = barrier;
      if (barrier >= 0) barriers_.back().releases.push_back(index);
      ends.push_back(index);
    } else {
      ends.back() = index;
    }
    nodes_.push_back(std::move(node));
  }
  return ends;
}

Graph Graph::build(const PipelineSpec& spec, std::int64_t step, int num_workers) {
  CHECK(num_workers >= 1);
  Graph graph;
  std::vector<Node> rollouts, logprobs, syncs;
  std::vector<int> ends;
  for (int worker = 1; worker <= num_workers; ++worker) {
    syncs.push_back({.kind = SubStageKind::kSync, .worker = worker, .samples = {}});
    std::vector<std::uint32_t> samples = samples_of_worker(spec, worker, num_workers);
    if (samples.empty()) continue;
    logprobs.push_back({.kind = SubStageKind::kLogprob, .worker = worker, .samples = samples});
    for (Node& node : rollout_chain(spec, worker, std::move(samples))) rollouts.push_back(std::move(node));
  }
  if (spec.has_sync()) ends = graph.add_layer(std::move(syncs), ends);
  ends = graph.add_layer(std::move(rollouts), ends);
  if (spec.needs_reference) ends = graph.add_layer(std::move(logprobs), ends);
  for (int update = 0; update < spec.updates_per_step; ++update) {
    std::vector<Node> layer;
    for (int worker = 1; worker <= num_workers; ++worker) {
      layer.push_back({.kind = SubStageKind::kUpdate, .worker = worker, .update = update, .samples = {}});
    }
    ends = graph.add_layer(std::move(layer), ends);
  }
  if (spec.checkpoint_due(step)) graph.add_layer({{.kind = SubStageKind::kCheckpoint, .samples = {}}}, ends);
  graph.index_by_worker(num_workers);
  return graph;
}

void Graph::index_by_worker(int num_workers) {
  begin_of_worker_.assign(static_cast<std::size_t>(num_workers) + 2, 0);
  for (const Node& node : nodes_) ++begin_of_worker_[static_cast<std::size_t>(node.worker) + 1];
  std::partial_sum(begin_of_worker_.begin(), begin_of_worker_.end(), begin_of_worker_.begin());
  std::vector<int> next = begin_of_worker_;
  by_worker_.resize(nodes_.size());
  for (int index = 0; index < static_cast<int>(nodes_.size()); ++index) {
    by_worker_[static_cast<std::size_t>(next[static_cast<std::size_t>(node(index).worker)]++)] = index;
  }
}

std::span<const int> Graph::nodes_on(int worker) const {
  const auto begin = static_cast<std::size_t>(begin_of_worker_[static_cast<std::size_t>(worker)]);
  const auto end = static_cast<std::size_t>(begin_of_worker_[static_cast<std::size_t>(worker) + 1]);
  return std::span(by_worker_).subspan(begin, end - begin);
}

std::vector<int> Graph::predecessors(int index) const {
  const Node& of = node(index);
  if (of.continues) return {index - 1};
  return of.barrier < 0 ? std::vector<int>() : barriers_[static_cast<std::size_t>(of.barrier)].waits_for;
}

Status Graph::validate(const PipelineSpec& spec) const {
  const auto wrong = [](const Node& node, const std::string& what) {
    return Error(ErrorCode::kInternal, to_string(node) + " " + what);
  };
  const SubStageKind first = spec.has_sync() ? SubStageKind::kSync : SubStageKind::kPrefill;
  std::vector<int> rolled_out(static_cast<std::size_t>(spec.samples_per_step()), 0);
  std::vector<bool> waited_for(nodes_.size(), false);
  for (const Barrier& barrier : barriers_) {
    if (barrier.waits_for.empty() || barrier.releases.empty())
      return Error(ErrorCode::kInternal, "a barrier with nothing before or after it");
    const int last = *std::max_element(barrier.waits_for.begin(), barrier.waits_for.end());
    for (const int index : barrier.releases) {
      if (last >= index) return wrong(node(index), "waits for a later node");
    }
    for (const int index : barrier.waits_for) waited_for[static_cast<std::size_t>(index)] = true;
  }
  for (int index = 0; index < static_cast<int>(nodes_.size()); ++index) {
    const Node& current = node(index);
    if (current.continues) {
      if (index == 0) return wrong(current, "continues nothing");
      waited_for[static_cast<std::size_t>(index) - 1] = true;
    }
    if (current.continues && (node(index - 1).worker != current.worker || !is_rollout(node(index - 1).kind))) {
      return wrong(current, "continues another worker's node");
    }
    const bool is_first = current.kind == first && !current.continues;
    if ((current.barrier < 0 && !current.continues) != is_first) return wrong(current, ": its barrier is not closed");
    if (!is_rollout(current.kind)) continue;
    for (const std::uint32_t sample : current.samples) {
      if (sample >= rolled_out.size()) return wrong(current, ": a sample that the step does not have");
      ++rolled_out[sample];
    }
  }
  // What nobody waits for ends the step.
  for (int index = 0; index < static_cast<int>(nodes_.size()); ++index) {
    const bool is_last = node(index).kind == nodes_.back().kind && node(index).update == nodes_.back().update;
    if (!waited_for[static_cast<std::size_t>(index)] && !is_last) return wrong(node(index), "is an orphan");
  }
  for (std::size_t sample = 0; sample < rolled_out.size(); ++sample) {
    if (rolled_out[sample] != 1) {
      return Error(ErrorCode::kInternal, "sample " + std::to_string(sample) + " is rolled out " +
                                             std::to_string(rolled_out[sample]) + " times");
    }
  }
  return ok_status();
}

std::vector<std::uint32_t> slot_owners(int grad_slots, int num_workers) {
  std::vector<std::uint32_t> owners;
  for (std::int64_t slot = 0; slot < grad_slots; ++slot) {
    owners.push_back(static_cast<std::uint32_t>(1 + slot * num_workers / grad_slots));
  }
  return owners;
}

std::pair<std::uint32_t, std::uint32_t> update_samples(const PipelineSpec& spec, int update) {
  const std::int64_t prompts = spec.prompts_per_step, updates = spec.updates_per_step;
  const auto sample_at = [&](std::int64_t u) {
    return static_cast<std::uint32_t>(prompts * u / updates * spec.group_size);
  };
  return {sample_at(update), sample_at(update + 1)};
}

}  // namespace jigsaw
