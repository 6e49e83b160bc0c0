#include "scheduler/policies/outlook.h"

#include <algorithm>
#include <limits>
#include <map>
#include <optional>

#include "core/check.h"

namespace jigsaw {
namespace {

constexpr double kNothingS = 1e-9;
constexpr double kNever = std::numeric_limits<double>::infinity();

std::vector<int> live_pipelines(const Plan& plan) {
  std::vector<int> pipelines;
  for (int pipeline = 0; pipeline < plan.num_pipelines(); ++pipeline) {
    if (!plan.done(pipeline)) pipelines.push_back(pipeline);
  }
  return pipelines;
}

}  // namespace

// One simulation: its own state, over the structure that all share.
class Outlook::Sim {
 public:
  explicit Sim(const Outlook& outlook)
      : outlook_(outlook),
        places_(outlook.workers_.size()),
        pipelines_(static_cast<std::size_t>(outlook.plan_.num_pipelines())) {}

  // Back to where the outlook begins.
  void reset(BasePolicy base) {
    bound_ = base == BasePolicy::kExclusive ? 1 : outlook_.capacity_.corun_max;
    states = outlook_.states_;
    left_s = outlook_.left_s_;
    weights = outlook_.weights_;
    waits_ = outlook_.waits_;
    open_.clear();
    for (const Joint& joint : outlook_.joints_) open_.push_back(joint.open);
    for (Place& place : places_) {
      place.running.clear();
      place.rates.clear();
      place.num_computing = 0;
      place.rates_are_old = true;
      place.since_s = 0;
    }
    std::ranges::fill(pipelines_, Pipeline());
    ready_.clear();
    released_.clear();
    prospect_ = {};
    now_s_ = 0;
    num_left_ = num_gangs_ = 0;
    a_window_has_ended_ = false;
  }

  // By node; to be changed before run().
  std::vector<State> states;
  std::vector<double> left_s, weights;

  Prospect run() { return run({0, static_cast<int>(states.size())}); }
  // As if there were no others.
  Prospect run(Range ids) {
    prospect_.finish_s.assign(pipelines_.size(), 0);
    for (int id = ids.begin; id < ids.end; ++id) enter(id);
    while (num_left_ > 0) {
      start_what_can();
      for (Place& place : places_) {
        if (place.rates_are_old) renew_rates(place);
      }
      const auto first = std::ranges::min_element(places_, {}, &Place::next_end_s);
      if (first->next_end_s == kNever) {
        prospect_.is_stuck = true;
        return std::move(prospect_);
      }
      now_s_ = first->next_end_s;
      for (std::size_t place = 0; place < places_.size(); ++place) {
        if (places_[place].next_end_s <= now_s_ + kNothingS) end_on(place);
      }
      note_first_end();
      if (released_.empty()) continue;
      ready_.insert(ready_.end(), released_.begin(), released_.end());
      released_.clear();
      std::sort(ready_.begin(), ready_.end());
    }
    prospect_.end_s = now_s_;
    return std::move(prospect_);
  }

 private:
  struct Place {  // a worker
    std::vector<int> running;
    std::vector<double> rates;  // beside running
    int num_computing = 0;
    bool rates_are_old = true;   // what runs has changed
    double since_s = 0;          // left_s of what runs is as of then
    double next_end_s = kNever;  // of running[next]
    std::size_t next = 0;
  };
  struct Pipeline {
    int nodes_left = 0, open_updates = 0;  // updates of a layer that has begun
    double work_s = 0, work_done_s = 0;
  };

  const SimNode& node(int id) const { return outlook_.nodes_[static_cast<std::size_t>(id)]; }
  Place& place_of(int id) { return places_[static_cast<std::size_t>(node(id).worker)]; }
  Pipeline& pipeline_of(int id) { return pipelines_[static_cast<std::size_t>(node(id).pipeline)]; }
  State& state(int id) { return states[static_cast<std::size_t>(id)]; }

  void enter(int id) {
    if (state(id) == State::kDone) return;
    ++num_left_;
    ++pipeline_of(id).nodes_left;
    pipeline_of(id).work_s += left_s[static_cast<std::size_t>(id)];
    if (state(id) == State::kRunning) begin(id);
    if (state(id) == State::kReady || state(id) == State::kHeld) ready_.push_back(id);
  }

  void begin(int id) {
    Place& place = place_of(id);
    settle(place);
    state(id) = State::kRunning;
    place.running.push_back(id);
    place.rates.push_back(0);
    place.rates_are_old = true;
    if (!is_wait(node(id).kind)) ++place.num_computing;
    if (node(id).kind == SubStageKind::kUpdate && pipeline_of(id).open_updates++ == 0) ++num_gangs_;
  }

  bool can_begin(int id) {
    if (state(id) != State::kReady || place_of(id).num_computing >= bound_) return false;
    return node(id).kind != SubStageKind::kUpdate || pipeline_of(id).open_updates > 0 || num_gangs_ < bound_;
  }

  // Who joins others gets as much as they have on average.
  void start_what_can() {
    std::size_t kept = 0;
    for (const int id : ready_) {
      if (!can_begin(id)) {
        ready_[kept++] = id;
        continue;
      }
      double sum = 0;
      for (const int other : place_of(id).running) {
        if (!is_wait(node(other).kind)) sum += weights[static_cast<std::size_t>(other)];
      }
      const int others = place_of(id).num_computing;
      weights[static_cast<std::size_t>(id)] = others > 0 ? sum / others : 1.0;
      begin(id);
    }
    ready_.resize(kept);
  }

  // Brings what runs there up to now, before anything changes.
  void settle(Place& place) {
    const double passed_s = now_s_ - place.since_s;
    place.since_s = now_s_;
    if (passed_s <= 0) return;
    for (std::size_t i = 0; i < place.running.size(); ++i) {
      const double work_s = passed_s * place.rates[i];
      left_s[static_cast<std::size_t>(place.running[i])] -= work_s;
      pipeline_of(place.running[i]).work_done_s += work_s;
    }
  }

  void renew_rates(Place& place) {
    place.rates_are_old = false;
    place.next_end_s = kNever;
    if (place.running.size() == 1) {
      place.rates[0] = 1;
    } else {
      kinds_.clear();
      shares_.clear();
      for (const int id : place.running) {
        kinds_.push_back(node(id).kind);
        shares_.push_back(weights[static_cast<std::size_t>(id)]);
      }
      outlook_.capacity_.slowdown.fill_rates(kinds_, shares_, place.rates);
    }
    for (std::size_t i = 0; i < place.running.size(); ++i) {
      const double end_s = now_s_ + std::max(0.0, left_s[static_cast<std::size_t>(place.running[i])]) / place.rates[i];
      if (end_s >= place.next_end_s) continue;
      place.next_end_s = end_s;
      place.next = i;
    }
  }

  void end_on(std::size_t place_index) {
    Place& place = places_[place_index];
    settle(place);
    ended_.clear();
    std::size_t still = 0;
    for (std::size_t i = 0; i < place.running.size(); ++i) {
      const int id = place.running[i];
      if (i == place.next || left_s[static_cast<std::size_t>(id)] <= kNothingS) {
        ended_.push_back(id);
      } else {
        place.running[still] = id;
        place.rates[still++] = place.rates[i];
      }
    }
    place.running.resize(still);
    place.rates.resize(still);
    place.rates_are_old = true;
    for (const int id : ended_) end(id);
    for (const int id : ready_) {
      if (state(id) == State::kHeld && static_cast<std::size_t>(node(id).worker) == place_index)
        state(id) = State::kReady;
    }
  }

  void end(int id) {
    const SimNode& ended = node(id);
    Pipeline& pipeline = pipeline_of(id);
    state(id) = State::kDone;
    --num_left_;
    if (!is_wait(ended.kind)) --place_of(id).num_computing;
    if (ended.kind == SubStageKind::kUpdate && --pipeline.open_updates == 0) --num_gangs_;
    if (--pipeline.nodes_left == 0) {
      prospect_.finish_s[static_cast<std::size_t>(ended.pipeline)] = now_s_;
      a_window_has_ended_ = true;
    }
    if (ended.next >= 0) {
      weights[static_cast<std::size_t>(ended.next)] = weights[static_cast<std::size_t>(id)];
      begin(ended.next);
    }
    for (int at = ended.first_end; at >= 0; at = outlook_.ends_[static_cast<std::size_t>(at)].next) {
      const auto joint = static_cast<std::size_t>(outlook_.ends_[static_cast<std::size_t>(at)].joint);
      if (--open_[joint] > 0) continue;
      for (const int after : outlook_.joints_[joint].releases) {
        if (--waits_[static_cast<std::size_t>(after)] > 0) continue;
        state(after) = State::kReady;
        released_.push_back(after);
      }
    }
  }

  void note_first_end() {
    if (!a_window_has_ended_ || !prospect_.progress.empty()) return;
    prospect_.first_end_s = now_s_;
    for (Place& place : places_) settle(place);
    for (const Pipeline& pipeline : pipelines_) {
      prospect_.progress.push_back(pipeline.work_done_s / std::max(pipeline.work_s, kNothingS));
    }
  }

  const Outlook& outlook_;
  int bound_ = 1;                  // sub-stages that compute on a worker at a time
  std::vector<int> waits_, open_;  // by node; by joint
  std::vector<Place> places_;
  std::vector<Pipeline> pipelines_;
  std::vector<int> ready_, released_;  // ready: ascending, held ones included
  std::vector<int> ended_;             // scratch
  std::vector<SubStageKind> kinds_;
  std::vector<double> shares_;
  Prospect prospect_;
  double now_s_ = 0;
  int num_left_ = 0, num_gangs_ = 0;
  bool a_window_has_ended_ = false;
};

Outlook::Outlook(const Plan& plan, const Capacity& capacity, Clock::TimePoint now, std::vector<int> workers,
                 std::vector<int> pipelines)
    : plan_(plan),
      capacity_(capacity),
      now_(now),
      workers_(std::move(workers)),
      pipelines_(std::move(pipelines)),
      first_ids_(static_cast<std::size_t>(plan.num_pipelines())) {
  for (const int pipeline : pipelines_) add_pipeline(pipeline);
  for (std::size_t id = 0; id < nodes_.size(); ++id) {
    num_open_ += states_[id] != State::kDone ? 1 : 0;
    // What waits for workers that are not simulated only.
    const bool continues = id > 0 && nodes_[id - 1].next == static_cast<int>(id);
    if (states_[id] == State::kWaiting && waits_[id] == 0 && !continues) states_[id] = State::kReady;
  }
}

Outlook::Outlook(const Plan& plan, const Capacity& capacity, Clock::TimePoint now)
    : Outlook(plan, capacity, now, representatives(plan), live_pipelines(plan)) {}

std::vector<int> Outlook::representatives(const Plan& plan) {
  const int num_workers = plan.num_workers(), count = std::min(num_workers, kWorkersMax);
  const Graph* graph = nullptr;
  for (int pipeline = 0; graph == nullptr && pipeline < plan.num_pipelines(); ++pipeline) {
    if (!plan.done(pipeline)) graph = &plan.window(pipeline).graph(plan.step(pipeline));
  }
  const auto rolls_out = [&](int worker) {
    return graph != nullptr &&
           std::ranges::any_of(graph->nodes_on(worker), [&](int index) { return is_rollout(graph->node(index).kind); });
  };
  std::vector<int> workers;
  for (std::int64_t i = 0; i < count; ++i) {
    const int begin = static_cast<int>(1 + i * num_workers / count);
    const int end = static_cast<int>(1 + (i + 1) * num_workers / count);
    int worker = begin;
    while (worker < end && !rolls_out(worker)) ++worker;
    workers.push_back(worker < end ? worker : begin);
  }
  return workers;
}

int Outlook::place_of(int worker) const {
  const auto found = std::lower_bound(workers_.begin(), workers_.end(), worker);
  return found != workers_.end() && *found == worker ? static_cast<int>(found - workers_.begin()) : -1;
}

void Outlook::add_joint(const std::vector<int>& waits_for, std::vector<int> releases) {
  Joint joint;
  for (const int id : waits_for) joint.open += states_[static_cast<std::size_t>(id)] != State::kDone ? 1 : 0;
  if (joint.open == 0 || releases.empty()) return;
  for (const int id : waits_for) {
    ends_.push_back({static_cast<int>(joints_.size()), nodes_[static_cast<std::size_t>(id)].first_end});
    nodes_[static_cast<std::size_t>(id)].first_end = static_cast<int>(ends_.size()) - 1;
  }
  for (const int id : releases) ++waits_[static_cast<std::size_t>(id)];
  joint.releases = std::move(releases);
  joints_.push_back(std::move(joint));
}

void Outlook::add_pipeline(int pipeline) {
  const Window& window = plan_.window(pipeline);
  for (std::int64_t step = window.first_step(); step <= window.last_step(); ++step) add_step(pipeline, step);
  add_cross_step_edges(pipeline);
}

void Outlook::add_step(int pipeline, std::int64_t step) {
  const Graph& graph = plan_.window(pipeline).graph(step);
  std::vector<std::vector<int>> waits_for(graph.barriers().size()), releases(graph.barriers().size());
  std::vector<int>& first_ids = first_ids_[static_cast<std::size_t>(pipeline)].emplace_back();
  for (std::size_t place = 0; place < workers_.size(); ++place) {
    first_ids.push_back(static_cast<int>(nodes_.size()));
    for (const int index : graph.nodes_on(workers_[place])) {
      const Node& node = graph.node(index);
      const NodeRef ref{pipeline, step, index};
      const NodeState state = plan_.state(ref);
      const int id = static_cast<int>(nodes_.size());
      if (node.continues) nodes_.back().next = id;
      nodes_.push_back({.pipeline = pipeline, .worker = static_cast<int>(place), .kind = node.kind});
      states_.push_back(state == NodeState::kDone      ? State::kDone
                        : state == NodeState::kRunning ? State::kRunning
                        : state == NodeState::kReady   ? State::kReady
                                                       : State::kWaiting);
      const bool runs = state == NodeState::kRunning;
      left_s_.push_back(state == NodeState::kDone ? 0 : runs ? plan_.remaining_s(ref, now_) : plan_.seconds_of(ref));
      weights_.push_back(runs ? plan_.share(ref) : 1);
      waits_.push_back(0);
      if (node.closes >= 0) waits_for[static_cast<std::size_t>(node.closes)].push_back(id);
      if (node.barrier >= 0) releases[static_cast<std::size_t>(node.barrier)].push_back(id);
    }
  }
  first_ids.push_back(static_cast<int>(nodes_.size()));
  for (std::size_t i = 0; i < waits_for.size(); ++i) add_joint(waits_for[i], std::move(releases[i]));
}

// In both directions: only now are all nodes there.
void Outlook::add_cross_step_edges(int pipeline) {
  const Window& window = plan_.window(pipeline);
  const auto ids_of = [&](std::int64_t step, const auto& is_meant) {
    const Graph& graph = window.graph(step);
    int id =
        first_ids_[static_cast<std::size_t>(pipeline)][static_cast<std::size_t>(step - window.first_step())].front();
    std::vector<int> ids;
    for (const int worker : workers_) {
      for (const int index : graph.nodes_on(worker)) {
        if (is_meant(graph.node(index), id)) ids.push_back(id);
        ++id;
      }
    }
    return ids;
  };
  for (std::int64_t step = window.first_step(); step <= window.last_step(); ++step) {
    for (const CrossStepEdge& edge : window.cross_step_edges()) {
      if (!window.has(step + edge.offset)) continue;
      add_joint(ids_of(step + edge.offset, [&](const Node& node, int) { return edge.waits_for(node); }),
                ids_of(step, [&](const Node& node, int id) {
                  return edge.holds(node) && states_[static_cast<std::size_t>(id)] == State::kWaiting;
                }));
    }
  }
}

int Outlook::id_of(NodeRef ref) const {
  const auto& of_pipeline = first_ids_[static_cast<std::size_t>(ref.pipeline)];
  const int worker = plan_.node(ref).worker, place = place_of(worker);
  if (of_pipeline.empty() || place < 0) return -1;
  const Window& window = plan_.window(ref.pipeline);
  const auto on_worker = window.graph(ref.step).nodes_on(worker);
  const auto position = std::lower_bound(on_worker.begin(), on_worker.end(), ref.node) - on_worker.begin();
  return of_pipeline[static_cast<std::size_t>(ref.step - window.first_step())][static_cast<std::size_t>(place)] +
         static_cast<int>(position);
}

Outlook::Range Outlook::range_of(int pipeline) const {
  const auto& of_pipeline = first_ids_[static_cast<std::size_t>(pipeline)];
  if (of_pipeline.empty()) return {};
  return {of_pipeline.front().front(), of_pipeline.back().back()};
}

Outlook::~Outlook() = default;

Outlook::Sim& Outlook::fresh_sim(BasePolicy base) const {
  if (sim_ == nullptr) sim_ = std::make_unique<Sim>(*this);
  sim_->reset(base);
  return *sim_;
}

double Outlook::alone_s(int pipeline) const { return fresh_sim(BasePolicy::kGreedy).run(range_of(pipeline)).end_s; }

// Chains that sequences leave end at once; the tails that they come to take as long as all of them together.
void Outlook::merge(Sim& sim, const std::vector<std::pair<NodeRef, NodeRef>>& merges) const {
  std::map<NodeRef, std::vector<RunningSequences>> groups_of;
  std::map<NodeRef, double> cost_s;
  for (const auto& [from, to] : merges) {
    const int from_id = id_of(from);
    if (from_id < 0 || id_of(to) < 0) continue;
    const TailForecast& tail = plan_.forecast(from.pipeline).tail;
    const auto running = [&](NodeRef ref) {
      const auto sequences = plan_.sequences(ref, now_);
      return sequences ? tail.after(sequences->running, sequences->work_since_s) : RunningSequences();
    };
    std::vector<RunningSequences>& groups = groups_of[to];
    if (groups.empty()) groups.push_back(running(to));
    groups.push_back(running(from));
    const double tokens = groups.back().count * (tail.prompt_tokens + groups.back().tokens);
    cost_s[to] += capacity_.merge_s +
                  (capacity_.move_token_s > 0 ? capacity_.move_token_s * tokens : tail.prefill_s(groups.back()));
    for (int id = from_id; id >= 0; id = nodes_[static_cast<std::size_t>(id)].next) {
      sim.left_s[static_cast<std::size_t>(id)] = 0;
    }
  }
  for (const auto& [to, groups] : groups_of) {
    sim.left_s[static_cast<std::size_t>(id_of(to))] =
        cost_s[to] + plan_.forecast(to.pipeline).tail.remaining(groups).mean_s();
  }
}

Prospect Outlook::after(const std::vector<Move>& moves, BasePolicy base, const Changes& changes) const {
  Sim& sim = fresh_sim(base);
  for (const auto& [ref, weight] : changes.weights) {
    if (const int id = id_of(ref); id >= 0) sim.weights[static_cast<std::size_t>(id)] = weight;
  }
  if (!changes.merges.empty()) merge(sim, changes.merges);
  for (const Move& move : moves) {
    const int id = id_of(move.node);
    if (id < 0) continue;
    sim.states[static_cast<std::size_t>(id)] = move.weight ? State::kRunning : State::kHeld;
    if (move.weight) sim.weights[static_cast<std::size_t>(id)] = *move.weight;
  }
  return sim.run();
}

}  // namespace jigsaw
