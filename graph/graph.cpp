#include "graph/graph.h"

#include <algorithm>

#include "core/check.h"

namespace jigsaw {

std::string_view to_string(SubStageKind kind) {
  switch (kind) {
    case SubStageKind::kRollout: return "rollout";
    case SubStageKind::kLogprob: return "logprob";
    case SubStageKind::kUpdate: return "update";
    case SubStageKind::kCheckpoint: return "checkpoint";
  }
  return "unknown";
}

std::string to_string(const Node& node) {
  std::string text(to_string(node.kind));
  if (node.kind == SubStageKind::kUpdate) text += "#" + std::to_string(node.update);
  return text + "@" + std::to_string(node.worker);
}

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

}  // namespace

void Graph::add_layer(std::vector<Node> layer) {
  const int previous_begin = layer_begin_;
  const int begin = static_cast<int>(nodes_.size());
  for (Node& node : layer) {
    const int index = static_cast<int>(nodes_.size());
    nodes_.push_back(std::move(node));
    predecessors_.emplace_back();
    successors_.emplace_back();
    for (int previous = previous_begin; previous < begin; ++previous) {
      predecessors_[static_cast<std::size_t>(index)].push_back(previous);
      successors_[static_cast<std::size_t>(previous)].push_back(index);
    }
  }
  layer_begin_ = begin;
}

Graph Graph::build(const PipelineSpec& spec, std::int64_t step, int num_workers) {
  CHECK(num_workers >= 1);
  Graph graph;
  graph.step_ = step;
  const auto layer_with_samples = [&](SubStageKind kind) {
    std::vector<Node> layer;
    for (int worker = 1; worker <= num_workers; ++worker) {
      Node node{.kind = kind, .worker = worker, .samples = samples_of_worker(spec, worker, num_workers)};
      if (!node.samples.empty()) layer.push_back(std::move(node));
    }
    return layer;
  };
  graph.add_layer(layer_with_samples(SubStageKind::kRollout));
  if (spec.needs_reference) graph.add_layer(layer_with_samples(SubStageKind::kLogprob));
  for (int update = 0; update < spec.updates_per_step; ++update) {
    std::vector<Node> layer;
    for (int worker = 1; worker <= num_workers; ++worker) {
      layer.push_back({.kind = SubStageKind::kUpdate, .worker = worker, .update = update, .samples = {}});
    }
    graph.add_layer(std::move(layer));
  }
  if (spec.checkpoint_due(step))
    graph.add_layer({{.kind = SubStageKind::kCheckpoint, .worker = 1, .update = 0, .samples = {}}});
  return graph;
}

Status Graph::validate(const PipelineSpec& spec) const {
  std::vector<int> rolled_out(static_cast<std::size_t>(spec.samples_per_step()), 0);
  for (int index = 0; index < static_cast<int>(nodes_.size()); ++index) {
    const Node& current = node(index);
    const std::string name = to_string(current);
    for (const int previous : predecessors(index)) {
      if (previous >= index) return Error(ErrorCode::kInternal, name + " waits for a later node");
    }
    if (predecessors(index).empty() != (current.kind == SubStageKind::kRollout)) {
      return Error(ErrorCode::kInternal, name + ": its barrier is not closed");
    }
    if (current.kind != SubStageKind::kRollout) continue;
    for (const std::uint32_t sample : current.samples) {
      if (sample >= rolled_out.size())
        return Error(ErrorCode::kInternal, name + ": a sample that the step does not have");
      ++rolled_out[sample];
    }
  }
  for (std::size_t sample = 0; sample < rolled_out.size(); ++sample) {
    if (rolled_out[sample] != 1) {
      return Error(ErrorCode::kInternal, "sample " + std::to_string(sample) + " is rolled out " +
                                             std::to_string(rolled_out[sample]) + " times");
    }
  }
  return ok_status();
}

double Graph::critical_path(const std::function<double(int)>& seconds) const {
  std::vector<double> end(nodes_.size(), 0);
  double longest = 0;
  for (int index = 0; index < static_cast<int>(nodes_.size()); ++index) {
    double begin = 0;
    for (const int previous : predecessors(index)) begin = std::max(begin, end[static_cast<std::size_t>(previous)]);
    end[static_cast<std::size_t>(index)] = begin + seconds(index);
    longest = std::max(longest, end[static_cast<std::size_t>(index)]);
  }
  return longest;
}

std::string Graph::to_text(std::string_view pipeline) const {
  std::string text = std::string(pipeline) + " step " + std::to_string(step_) + "\n";
  for (int index = 0; index < static_cast<int>(nodes_.size()); ++index) {
    const Node& current = node(index);
    text += "  " + to_string(current);
    if (!current.samples.empty()) text += " (" + std::to_string(current.samples.size()) + " samples)";
    for (std::size_t i = 0; i < predecessors(index).size(); ++i) {
      text += (i == 0 ? " <- " : ", ") + to_string(node(predecessors(index)[i]));
    }
    text += "\n";
  }
  return text;
}

std::string Graph::to_dot(std::string_view pipeline) const {
  std::string text = "digraph \"" + std::string(pipeline) + "\" {\n  rankdir=LR;\n";
  for (int index = 0; index < static_cast<int>(nodes_.size()); ++index) {
    text += "  n" + std::to_string(index) + " [label=\"" + to_string(node(index)) + "\"];\n";
    for (const int next : successors(index)) {
      text += "  n" + std::to_string(index) + " -> n" + std::to_string(next) + ";\n";
    }
  }
  return text + "}\n";
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
