#include "graph/window.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "core/check.h"

namespace jigsaw {

std::vector<CrossStepEdge> cross_step_edges(const PipelineSpec& spec) {
  using enum SubStageKind;
  const SubStageKind first = spec.has_sync() ? kSync : kPrefill;
  std::vector<CrossStepEdge> edges = {{.from = kCheckpoint, .to = kUpdate, .offset = -1}};
  if (spec.staleness == 0) {
    edges.push_back({.from = kUpdate, .to = first, .offset = -1});
    return edges;
  }
  edges.push_back({.from = kUpdate, .to = kSync, .offset = -1 - spec.staleness});
  edges.push_back({.from = kReward, .to = kSync, .offset = -spec.staleness});
  edges.push_back({.from = kSync, .to = kUpdate, .offset = spec.staleness});
  if (spec.staleness > 1) {  // else the rollout before is what sync waits for
    edges.push_back({.from = kReward, .to = kPrefill, .offset = -1});
    edges.push_back({.from = kSync, .to = kSync, .offset = -1});
  }
  edges.push_back({.from = kUpdate, .to = kUpdate, .offset = -1});
  // A checkpoint also saves the weights that the next rollouts use.
  edges.push_back({.from = kCheckpoint, .to = kSync, .offset = -1 - spec.staleness});
  return edges;
}

Window Window::build(const PipelineSpec& spec, std::int64_t first_step, std::int64_t last_step, int num_workers) {
  Window window;
  window.first_step_ = first_step;
  window.edges_ = jigsaw::cross_step_edges(spec);
  std::map<bool, std::shared_ptr<const Graph>> graphs;  // by checkpoint or not
  for (std::int64_t step = first_step; step <= std::min(last_step, spec.steps); ++step) {
    std::shared_ptr<const Graph>& graph = graphs[spec.checkpoint_due(step)];
    if (graph == nullptr) graph = std::make_shared<const Graph>(Graph::build(spec, step, num_workers));
    window.steps_.push_back(graph);
  }
  return window;
}

Window::Flat Window::flatten() const {
  Flat flat;
  std::map<std::int64_t, int> first_of;
  const auto add = [&flat](std::vector<int> waits_for, std::vector<int> releases) {
    if (waits_for.empty() || releases.empty()) return;
    const int barrier = static_cast<int>(flat.barriers.size());
    for (const int id : waits_for) flat.closes[static_cast<std::size_t>(id)].push_back(barrier);
    for (const int id : releases) flat.held_by[static_cast<std::size_t>(id)].push_back(barrier);
    flat.barriers.push_back({.waits_for = std::move(waits_for), .releases = std::move(releases)});
  };
  for (std::int64_t step = first_step_; step <= last_step(); ++step) {
    const int first = first_of[step] = static_cast<int>(flat.nodes.size());
    for (int index = 0; index < static_cast<int>(graph(step).nodes().size()); ++index) {
      flat.nodes.emplace_back(step, index);
      flat.continues.push_back(graph(step).node(index).continues);
    }
    flat.held_by.resize(flat.nodes.size());
    flat.closes.resize(flat.nodes.size());
    for (Barrier barrier : graph(step).barriers()) {
      for (int& index : barrier.waits_for) index += first;
      for (int& index : barrier.releases) index += first;
      add(std::move(barrier.waits_for), std::move(barrier.releases));
    }
  }
  const auto ids_of = [&](std::int64_t step, const auto& is_meant) {
    std::vector<int> ids;
    for (int index = 0; index < static_cast<int>(graph(step).nodes().size()); ++index) {
      if (is_meant(graph(step).node(index))) ids.push_back(first_of[step] + index);
    }
    return ids;
  };
  for (std::int64_t step = first_step_; step <= last_step(); ++step) {
    for (const CrossStepEdge& edge : edges_) {
      if (!has(step + edge.offset)) continue;
      add(ids_of(step + edge.offset, [&](const Node& node) { return edge.waits_for(node); }),
          ids_of(step, [&](const Node& node) { return edge.holds(node); }));
    }
  }
  return flat;
}

std::vector<int> Window::Flat::before(int id) const {
  std::vector<int> ids;
  if (continues[static_cast<std::size_t>(id)]) ids.push_back(id - 1);
  for (const int barrier : held_by[static_cast<std::size_t>(id)]) {
    const std::vector<int>& waits_for = barriers[static_cast<std::size_t>(barrier)].waits_for;
    ids.insert(ids.end(), waits_for.begin(), waits_for.end());
  }
  return ids;
}

std::vector<int> Window::topological_order(const Flat& flat) {
  std::vector<std::size_t> open(flat.nodes.size()), open_barriers;
  for (const Barrier& barrier : flat.barriers) open_barriers.push_back(barrier.waits_for.size());
  std::vector<int> order;
  for (std::size_t id = 0; id < flat.nodes.size(); ++id) {
    open[id] = flat.held_by[id].size() + (flat.continues[id] ? 1 : 0);
    if (open[id] == 0) order.push_back(static_cast<int>(id));
  }
  const auto release = [&](int id) {
    if (--open[static_cast<std::size_t>(id)] == 0) order.push_back(id);
  };
  for (std::size_t next = 0; next < order.size(); ++next) {
    const auto id = static_cast<std::size_t>(order[next]);
    if (id + 1 < flat.nodes.size() && flat.continues[id + 1]) release(static_cast<int>(id) + 1);
    for (const int barrier : flat.closes[id]) {
      if (--open_barriers[static_cast<std::size_t>(barrier)] > 0) continue;
      for (const int released : flat.barriers[static_cast<std::size_t>(barrier)].releases) release(released);
    }
  }
  return order;
}

Status Window::validate(const PipelineSpec& spec) const {
  for (std::int64_t step = first_step_; step <= last_step(); ++step) JIGSAW_RETURN_IF_ERROR(graph(step).validate(spec));
  const Flat flat = flatten();
  std::vector<int> order = topological_order(flat);
  if (order.size() == flat.nodes.size()) return ok_status();
  std::sort(order.begin(), order.end());
  int missing = 0;
  while (missing < static_cast<int>(order.size()) && order[static_cast<std::size_t>(missing)] == missing) ++missing;
  const auto [step, index] = flat.nodes[static_cast<std::size_t>(missing)];
  return Error(ErrorCode::kInternal,
               to_string(graph(step).node(index)) + " of step " + std::to_string(step) + " is part of a cycle");
}

double Window::critical_path(const std::function<double(std::int64_t, int)>& seconds) const {
  const Flat flat = flatten();
  std::vector<double> end(flat.nodes.size(), 0), opens(flat.barriers.size(), 0);
  double longest = 0;
  for (const int id : topological_order(flat)) {
    const auto place = static_cast<std::size_t>(id);
    double& finish = end[place];
    if (flat.continues[place]) finish = end[place - 1];
    for (const int barrier : flat.held_by[place]) finish = std::max(finish, opens[static_cast<std::size_t>(barrier)]);
    finish += seconds(flat.nodes[place].first, flat.nodes[place].second);
    for (const int barrier : flat.closes[place]) {
      double& open = opens[static_cast<std::size_t>(barrier)];
      open = std::max(open, finish);
    }
    longest = std::max(longest, finish);
  }
  return longest;
}

namespace {

std::string step_name(const Node& node, std::int64_t step) { return to_string(node) + " s" + std::to_string(step); }

}  // namespace

std::string Window::to_text(std::string_view pipeline) const {
  const Flat flat = flatten();
  std::string text =
      std::string(pipeline) + ", steps " + std::to_string(first_step_) + " to " + std::to_string(last_step()) + "\n";
  for (std::size_t id = 0; id < flat.nodes.size(); ++id) {
    const auto [step, index] = flat.nodes[id];
    const Node& node = graph(step).node(index);
    text += "  " + step_name(node, step);
    if (!node.samples.empty()) text += " (" + std::to_string(node.samples.size()) + " samples)";
    const char* separator = " <- ";
    for (const int before : flat.before(static_cast<int>(id))) {
      const auto [from_step, from] = flat.nodes[static_cast<std::size_t>(before)];
      text += separator + step_name(graph(from_step).node(from), from_step);
      separator = ", ";
    }
    text += "\n";
  }
  return text;
}

std::string Window::to_dot(std::string_view pipeline) const {
  const Flat flat = flatten();
  std::string text = "digraph \"" + std::string(pipeline) + "\" {\n  rankdir=LR;\n";
  for (std::size_t id = 0; id < flat.nodes.size(); ++id) {
    const auto [step, index] = flat.nodes[id];
    text += "  n" + std::to_string(id) + " [label=\"" + step_name(graph(step).node(index), step) + "\"];\n";
    for (const int before : flat.before(static_cast<int>(id))) {
      text += "  n" + std::to_string(before) + " -> n" + std::to_string(id) + ";\n";
    }
  }
  return text + "}\n";
}

std::string Window::to_json(std::string_view pipeline) const {
  const Flat flat = flatten();
  nlohmann::ordered_json json = {{"pipeline", pipeline}, {"first_step", first_step_}, {"last_step", last_step()}};
  json["nodes"] = json["edges"] = nlohmann::ordered_json::array();
  for (std::size_t id = 0; id < flat.nodes.size(); ++id) {
    const auto [step, index] = flat.nodes[id];
    const Node& node = graph(step).node(index);
    json["nodes"].push_back({{"id", id},
                             {"kind", to_string(node.kind)},
                             {"step", step},
                             {"worker", node.worker},
                             {"turn", node.turn},
                             {"update", node.update},
                             {"samples", node.samples.size()}});
    for (const int before : flat.before(static_cast<int>(id))) json["edges"].push_back({before, id});
  }
  return json.dump();
}

}  // namespace jigsaw
