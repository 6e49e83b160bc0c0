#include "scheduler/policies/outlook.h"

#include <algorithm>
#include <limits>

#include "core/check.h"

namespace jigsaw {

// One simulation's state, over the structure that all share.
struct Outlook::Sim {
  std::vector<State> states;
  std::vector<double> left_s, weights;
  std::vector<int> waits, open;              // by node; by joint
  std::vector<std::vector<int>> running_on;  // by worker
  std::vector<std::vector<double>> rates;    // beside running_on
  std::vector<int> ready;                    // ascending
  std::vector<int> nodes_left;               // by pipeline
  std::vector<int> open_updates;             // by pipeline: of a layer that has begun
  std::vector<double> work_s, work_done_s;   // by pipeline
};

Outlook::Outlook(const Plan& plan, const Capacity& capacity, Clock::TimePoint now) : plan_(plan), capacity_(capacity) {
  const int num_workers = plan.num_workers();
  num_places_ = std::min(num_workers, kWorkersMax);
  place_of_worker_.assign(static_cast<std::size_t>(num_workers) + 1, -1);
  for (int place = 0; place < num_places_; ++place) {
    place_of_worker_[1 + static_cast<std::size_t>(std::int64_t{place} * num_workers / num_places_)] = place;
  }
  ids_.resize(static_cast<std::size_t>(plan.num_pipelines()));
  for (int pipeline = 0; pipeline < plan.num_pipelines(); ++pipeline) {
    if (!plan.done(pipeline)) add_pipeline(pipeline, now);
  }
  // What waits for workers that are not simulated only.
  for (std::size_t id = 0; id < nodes_.size(); ++id) {
    const bool continues = id > 0 && nodes_[id - 1].next == static_cast<int>(id);
    if (states_[id] == State::kWaiting && waits_[id] == 0 && !continues) states_[id] = State::kReady;
  }
}

void Outlook::add_joint(const std::vector<int>& waits_for, const std::vector<int>& releases) {
  Joint joint;
  for (const int id : waits_for) joint.open += states_[static_cast<std::size_t>(id)] != State::kDone ? 1 : 0;
  if (joint.open == 0 || releases.empty()) return;
  joint.releases = releases;
  for (const int id : waits_for) nodes_[static_cast<std::size_t>(id)].ends.push_back(static_cast<int>(joints_.size()));
  for (const int id : releases) ++waits_[static_cast<std::size_t>(id)];
  joints_.push_back(std::move(joint));
}

void Outlook::add_pipeline(int pipeline, Clock::TimePoint now) {
  const Window& window = plan_.window(pipeline);
  const Forecast& forecast = plan_.forecast(pipeline);
  auto& ids = ids_[static_cast<std::size_t>(pipeline)];
  for (std::int64_t step = window.first_step(); step <= window.last_step(); ++step) {
    const Graph& graph = window.graph(step);
    std::vector<int>& step_ids = ids.emplace_back(graph.nodes().size(), -1);
    for (int index = 0; index < static_cast<int>(graph.nodes().size()); ++index) {
      const Node& node = graph.node(index);
      const int place = place_of_worker_[static_cast<std::size_t>(node.worker)];
      if (place < 0) continue;
      const NodeRef ref{pipeline, step, index};
      const NodeState state = plan_.state(ref);
      step_ids[static_cast<std::size_t>(index)] = static_cast<int>(nodes_.size());
      if (node.continues) nodes_.back().next = static_cast<int>(nodes_.size());
      nodes_.push_back({.pipeline = pipeline, .worker = place, .kind = node.kind, .update = node.update, .step = step});
      states_.push_back(state == NodeState::kDone      ? State::kDone
                        : state == NodeState::kRunning ? State::kRunning
                        : state == NodeState::kReady   ? State::kReady
                                                       : State::kWaiting);
      const bool runs = state == NodeState::kRunning;
      left_s_.push_back(state == NodeState::kDone ? 0
                        : runs                    ? forecast.remaining_s(index, plan_.work_done_s(ref, now))
                                                  : forecast.seconds_of(index));
      weights_.push_back(runs ? plan_.share(ref) : 1);
      waits_.push_back(0);
    }
    for (const Barrier& barrier : graph.barriers()) {
      std::vector<int> waits_for, releases;
      for (const int index : barrier.waits_for) {
        if (const int id = step_ids[static_cast<std::size_t>(index)]; id >= 0) waits_for.push_back(id);
      }
      for (const int index : barrier.releases) {
        if (const int id = step_ids[static_cast<std::size_t>(index)]; id >= 0) releases.push_back(id);
      }
      add_joint(waits_for, releases);
    }
  }
  // Edges between steps, in both directions: only now are all nodes there.
  const auto of_kind = [&](std::int64_t step, SubStageKind kind, int place) {
    std::vector<int> found;
    for (const int id : ids[static_cast<std::size_t>(step - window.first_step())]) {
      if (id < 0) continue;
      const SimNode& node = nodes_[static_cast<std::size_t>(id)];
      if (node.kind == kind && (place < 0 || node.worker == place)) found.push_back(id);
    }
    return found;
  };
  for (std::int64_t step = window.first_step(); step <= window.last_step(); ++step) {
    for (const CrossStepEdge& edge : window.cross_step_edges()) {
      if (!window.has(step + edge.offset)) continue;
      for (int place = edge.same_worker ? 0 : -1; place < (edge.same_worker ? num_places_ : 0); ++place) {
        std::vector<int> releases = of_kind(step, edge.to, place);
        std::erase_if(releases, [&](int id) {
          const SimNode& node = nodes_[static_cast<std::size_t>(id)];
          return node.update != 0 || states_[static_cast<std::size_t>(id)] != State::kWaiting;
        });
        // Later turns of a rollout continue the first one.
        if (is_rollout(edge.to)) {
          std::erase_if(releases,
                        [&](int id) { return id > 0 && nodes_[static_cast<std::size_t>(id) - 1].next == id; });
        }
        add_joint(of_kind(step + edge.offset, edge.from, place), releases);
      }
    }
  }
}

int Outlook::id_of(NodeRef ref) const {
  const std::int64_t step = ref.step - plan_.window(ref.pipeline).first_step();
  return ids_[static_cast<std::size_t>(ref.pipeline)][static_cast<std::size_t>(step)]
             [static_cast<std::size_t>(ref.node)];
}

double Outlook::alone_s(int pipeline) const {
  Sim sim;
  sim.states = states_;
  sim.left_s = left_s_;
  sim.weights = weights_;
  sim.waits = waits_;
  for (std::size_t id = 0; id < nodes_.size(); ++id) {
    if (nodes_[id].pipeline != pipeline) sim.states[id] = State::kDone;
  }
  return run(sim, BasePolicy::kGreedy).end_s;
}

Prospect Outlook::after(const std::vector<Move>& moves, BasePolicy base,
                        const std::vector<std::pair<NodeRef, double>>& weights) const {
  Sim sim;
  sim.states = states_;
  sim.left_s = left_s_;
  sim.weights = weights_;
  sim.waits = waits_;
  for (const auto& [ref, weight] : weights) {
    if (const int id = id_of(ref); id >= 0) sim.weights[static_cast<std::size_t>(id)] = weight;
  }
  for (const Move& move : moves) {
    const int id = id_of(move.node);
    if (id < 0) continue;
    sim.states[static_cast<std::size_t>(id)] = move.weight ? State::kRunning : State::kHeld;
    if (move.weight) sim.weights[static_cast<std::size_t>(id)] = *move.weight;
  }
  return run(sim, base);
}

Prospect Outlook::run(Sim& sim, BasePolicy base) const {
  const auto num_pipelines = static_cast<std::size_t>(plan_.num_pipelines());
  Prospect prospect;
  prospect.finish_s.assign(num_pipelines, 0);
  sim.open.clear();
  for (const Joint& joint : joints_) sim.open.push_back(joint.open);
  sim.running_on.assign(static_cast<std::size_t>(num_places_), {});
  sim.rates.assign(static_cast<std::size_t>(num_places_), {});
  sim.nodes_left.assign(num_pipelines, 0);
  sim.open_updates.assign(num_pipelines, 0);
  sim.work_s.assign(num_pipelines, 0);
  sim.work_done_s.assign(num_pipelines, 0);
  std::vector<int> computing(static_cast<std::size_t>(num_places_), 0);
  std::vector<bool> stale(static_cast<std::size_t>(num_places_), true);  // rates to be computed anew
  int num_left = 0, num_gangs = 0;

  const auto node_of = [&](int id) -> const SimNode& { return nodes_[static_cast<std::size_t>(id)]; };
  const auto begin = [&](int id) {
    const SimNode& node = node_of(id);
    const auto place = static_cast<std::size_t>(node.worker);
    sim.states[static_cast<std::size_t>(id)] = State::kRunning;
    sim.running_on[place].push_back(id);
    stale[place] = true;
    if (!is_wait(node.kind)) ++computing[place];
    if (node.kind == SubStageKind::kUpdate && sim.open_updates[static_cast<std::size_t>(node.pipeline)]++ == 0)
      ++num_gangs;
  };
  for (std::size_t id = 0; id < nodes_.size(); ++id) {
    const State state = sim.states[id];
    if (state == State::kDone) continue;
    ++num_left;
    ++sim.nodes_left[static_cast<std::size_t>(nodes_[id].pipeline)];
    sim.work_s[static_cast<std::size_t>(nodes_[id].pipeline)] += sim.left_s[id];
    if (state == State::kRunning) begin(static_cast<int>(id));
    if (state == State::kReady || state == State::kHeld) sim.ready.push_back(static_cast<int>(id));
  }

  const auto can_begin = [&](int id) {
    const SimNode& node = node_of(id);
    if (sim.states[static_cast<std::size_t>(id)] != State::kReady) return false;
    const int bound = base == BasePolicy::kExclusive ? 1 : capacity_.corun_max;
    if (computing[static_cast<std::size_t>(node.worker)] >= bound) return false;
    return node.kind != SubStageKind::kUpdate || sim.open_updates[static_cast<std::size_t>(node.pipeline)] > 0 ||
           num_gangs < bound;
  };
  // Who joins others gets as much as they have on average.
  const auto mean_weight_on = [&](int place) {
    double sum = 0;
    int count = 0;
    for (const int id : sim.running_on[static_cast<std::size_t>(place)]) {
      if (is_wait(node_of(id).kind)) continue;
      sum += sim.weights[static_cast<std::size_t>(id)];
      ++count;
    }
    return count > 0 ? sum / count : 1.0;
  };
  std::vector<SubStageKind> kinds;
  std::vector<double> weights;
  double now = 0;
  bool first_has_ended = false;
  while (num_left > 0) {
    std::size_t kept = 0;
    for (const int id : sim.ready) {
      if (can_begin(id)) {
        sim.weights[static_cast<std::size_t>(id)] = mean_weight_on(node_of(id).worker);
        begin(id);
      } else {
        sim.ready[kept++] = id;
      }
    }
    sim.ready.resize(kept);
    double step_s = std::numeric_limits<double>::max();
    for (std::size_t place = 0; place < sim.running_on.size(); ++place) {
      const std::vector<int>& running = sim.running_on[place];
      if (stale[place]) {
        stale[place] = false;
        kinds.clear();
        weights.clear();
        for (const int id : running) {
          kinds.push_back(node_of(id).kind);
          weights.push_back(sim.weights[static_cast<std::size_t>(id)]);
        }
        if (running.size() <= 1) {
          sim.rates[place].assign(running.size(), 1.0);
        } else {
          sim.rates[place] = capacity_.slowdown.rates(kinds, weights);
        }
      }
      for (std::size_t i = 0; i < running.size(); ++i) {
        step_s = std::min(step_s, sim.left_s[static_cast<std::size_t>(running[i])] / sim.rates[place][i]);
      }
    }
    if (step_s == std::numeric_limits<double>::max()) {
      prospect.is_stuck = true;
      return prospect;
    }
    now += step_s;
    std::vector<int> released;
    for (std::size_t place = 0; place < sim.running_on.size(); ++place) {
      std::vector<int>& running = sim.running_on[place];
      std::vector<int> continued;
      std::size_t still = 0;
      bool has_ended = false;
      for (std::size_t i = 0; i < running.size(); ++i) {
        const int id = running[i];
        double& left = sim.left_s[static_cast<std::size_t>(id)];
        left -= step_s * sim.rates[place][i];
        sim.work_done_s[static_cast<std::size_t>(node_of(id).pipeline)] += step_s * sim.rates[place][i];
        if (left > 1e-9) {
          running[still] = id;
          sim.rates[place][still++] = sim.rates[place][i];
          continue;
        }
        const SimNode& node = node_of(id);
        has_ended = true;
        sim.states[static_cast<std::size_t>(id)] = State::kDone;
        --num_left;
        if (!is_wait(node.kind)) --computing[place];
        if (node.kind == SubStageKind::kUpdate && --sim.open_updates[static_cast<std::size_t>(node.pipeline)] == 0)
          --num_gangs;
        if (--sim.nodes_left[static_cast<std::size_t>(node.pipeline)] == 0) {
          prospect.finish_s[static_cast<std::size_t>(node.pipeline)] = now;
          first_has_ended = true;
        }
        if (node.next >= 0) {
          sim.weights[static_cast<std::size_t>(node.next)] = sim.weights[static_cast<std::size_t>(id)];
          continued.push_back(node.next);
        }
        for (const int joint : node.ends) {
          if (--sim.open[static_cast<std::size_t>(joint)] > 0) continue;
          for (const int id_after : joints_[static_cast<std::size_t>(joint)].releases) {
            if (--sim.waits[static_cast<std::size_t>(id_after)] > 0) continue;
            sim.states[static_cast<std::size_t>(id_after)] = State::kReady;
            released.push_back(id_after);
          }
        }
      }
      running.resize(still);
      sim.rates[place].resize(still);
      if (!has_ended) continue;
      stale[place] = true;
      for (const int id : continued) begin(id);
      // What was held may go now.
      for (const int id : sim.ready) {
        if (node_of(id).worker == static_cast<int>(place) && sim.states[static_cast<std::size_t>(id)] == State::kHeld) {
          sim.states[static_cast<std::size_t>(id)] = State::kReady;
        }
      }
    }
    if (first_has_ended && prospect.progress.empty()) {
      prospect.first_end_s = now;
      for (std::size_t pipeline = 0; pipeline < num_pipelines; ++pipeline) {
        prospect.progress.push_back(sim.work_done_s[pipeline] / std::max(sim.work_s[pipeline], 1e-9));
      }
    }
    sim.ready.insert(sim.ready.end(), released.begin(), released.end());
    std::sort(sim.ready.begin(), sim.ready.end());
  }
  prospect.end_s = now;
  return prospect;
}

}  // namespace jigsaw
