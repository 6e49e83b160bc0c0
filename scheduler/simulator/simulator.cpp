#include "scheduler/simulator/simulator.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <queue>
#include <set>
#include <tuple>

#include "core/check.h"
#include "scheduler/policies/serial.h"
#include "scheduler/prediction/history.h"

namespace jigsaw {
namespace {

using Seconds = std::chrono::duration<double>;

class Simulation {
 public:
  Simulation(const std::vector<SimulatedPipeline>& pipelines, const Policy& policy, const Capacity& capacity,
             const SimulationObserver& observer)
      : pipelines_(pipelines),
        policy_(policy),
        capacity_(capacity),
        observer_(observer),
        plan_(specs_of(pipelines), std::vector<std::int64_t>(pipelines.size(), 1), capacity.num_workers),
        history_(pipelines.size()),
        totals_(pipelines.size()),
        workers_(static_cast<std::size_t>(capacity.num_workers) + 1) {}

  Result<RunSummary> run() {
    schedule();
    while (!plan_.all_done()) {
      if (!advance_to_next_end()) return stalled();
      schedule();
    }
    return summarize();
  }

 private:
  struct Active {
    NodeRef ref;
    double left_s = 0, rate = 1, begin_s = 0;
    bool waits_for_layer = false;  // an update that has done its part
  };
  struct Worker {
    std::vector<Active> active;
    double since_s = 0;  // left_s is as of then
    double next_end_s = 0;
    double busy_s = 0;
  };
  struct Totals {
    std::int64_t steps = 0;
    double tokens = 0, last_end_s = 0;
  };
  // The earliest end on a worker; stale when the worker's next_end_s is another by now.
  struct Event {
    double at_s;
    int worker;
    bool operator>(const Event& other) const { return at_s != other.at_s ? at_s > other.at_s : worker > other.worker; }
  };

  static std::vector<PipelineSpec> specs_of(const std::vector<SimulatedPipeline>& pipelines) {
    std::vector<PipelineSpec> specs;
    for (const SimulatedPipeline& pipeline : pipelines) specs.push_back(pipeline.spec);
    return specs;
  }

  Clock::TimePoint now() const {
    return Clock::TimePoint(std::chrono::duration_cast<Clock::TimePoint::duration>(Seconds(now_s_)));
  }

  static bool computes(const Plan& plan, const Active& active) {
    return !is_wait(plan.node(active.ref).kind) && !active.waits_for_layer;
  }

  // Brings a worker's work up to now, before anything changes there.
  void settle(int worker) {
    Worker& of = workers_[static_cast<std::size_t>(worker)];
    const double passed_s = now_s_ - of.since_s;
    of.since_s = now_s_;
    bool is_busy = false;
    for (Active& active : of.active) {
      active.left_s -= passed_s * active.rate;
      is_busy = is_busy || computes(plan_, active);
    }
    if (is_busy) of.busy_s += passed_s;
  }

  // New rates and the next end, after something changed.
  void replan(int worker) {
    Worker& of = workers_[static_cast<std::size_t>(worker)];
    std::vector<SubStageKind> kinds;
    std::vector<double> shares;
    for (const Active& active : of.active) {
      // What waits for its peers uses nothing, like a wait for tools.
      kinds.push_back(active.waits_for_layer ? SubStageKind::kTool : plan_.node(active.ref).kind);
      shares.push_back(plan_.share(active.ref));
    }
    const std::vector<double> rates = capacity_.slowdown.rates(kinds, shares);
    of.next_end_s = -1;
    for (std::size_t i = 0; i < of.active.size(); ++i) {
      Active& active = of.active[i];
      active.rate = active.waits_for_layer ? 0 : rates[i];
      plan_.set_rate(active.ref, active.rate, now());
      if (active.waits_for_layer) continue;
      const double end_s = now_s_ + std::max(0.0, active.left_s) / active.rate;
      if (of.next_end_s < 0 || end_s < of.next_end_s) of.next_end_s = end_s;
    }
    if (of.next_end_s >= 0) events_.push({of.next_end_s, worker});
  }

  void start(NodeRef ref, double share) {
    const int worker = plan_.node(ref).worker;
    settle(worker);
    plan_.start(ref, share, now());
    activate(ref);
    replan(worker);
  }

  void activate(NodeRef ref) {
    const Node& node = plan_.node(ref);
    const double seconds = pipelines_[static_cast<std::size_t>(ref.pipeline)].durations->seconds(ref.step, node);
    workers_[static_cast<std::size_t>(node.worker)].active.push_back(
        {.ref = ref, .left_s = seconds, .begin_s = now_s_});
    true_s_[ref] = seconds;
  }

  void schedule() {
    if (plan_.ready().empty() && !may_reshare_) return;
    may_reshare_ = false;
    const auto begin = std::chrono::steady_clock::now();
    const Decision decision = policy_.choose(plan_, capacity_, now());
    const auto took = std::chrono::steady_clock::now() - begin;
    if (decision.start.empty() && decision.wait.empty() && decision.reshare.empty()) return;
    decision_us_.push_back(std::chrono::duration<double, std::micro>(took).count());
    if (observer_.on_decision) observer_.on_decision(now_s_, plan_, decision);
    for (const ShareChange& change : decision.reshare) {
      const int worker = plan_.node(change.node).worker;
      settle(worker);
      plan_.set_share(change.node, change.share);
      replan(worker);
    }
    for (const DispatchChoice& choice : decision.start) start(choice.node, choice.share);
  }

  // False when nothing runs that could end.
  bool advance_to_next_end() {
    while (!events_.empty()) {
      const Event event = events_.top();
      events_.pop();
      if (event.at_s != workers_[static_cast<std::size_t>(event.worker)].next_end_s) continue;
      now_s_ = std::max(now_s_, event.at_s);
      end_on(event.worker);
      return true;
    }
    return false;
  }

  void end_on(int worker) {
    settle(worker);
    Worker& of = workers_[static_cast<std::size_t>(worker)];
    std::vector<NodeRef> ended;
    for (Active& active : of.active) {
      if (!active.waits_for_layer && active.left_s <= 1e-9 * (1 + now_s_)) ended.push_back(active.ref);
    }
    CHECK(!ended.empty());
    for (const NodeRef ref : ended) {
      if (plan_.node(ref).kind == SubStageKind::kUpdate) {
        end_update(ref);
      } else {
        end(ref);
      }
    }
    replan(worker);
    for (const int pipeline : touched_) {
      if (plan_.step_finished(pipeline)) finish_step(pipeline);
    }
    touched_.clear();
  }

  // Updates exchange gradients: none ends before all workers have done their part.
  void end_update(NodeRef ref) {
    const Node& node = plan_.node(ref);
    for (Active& active : workers_[static_cast<std::size_t>(node.worker)].active) {
      if (active.ref == ref) active.waits_for_layer = true;
    }
    std::vector<NodeRef>& layer = layers_[{ref.pipeline, ref.step, node.update}];
    layer.push_back(ref);
    if (static_cast<int>(layer.size()) < plan_.num_workers()) return;
    const std::vector<NodeRef> all = std::move(layer);
    layers_.erase({ref.pipeline, ref.step, node.update});
    for (const NodeRef member : all) {
      const int worker = plan_.node(member).worker;
      settle(worker);
      end(member);
      if (member != ref) replan(worker);
    }
  }

  void end(NodeRef ref) {
    const Node& node = plan_.node(ref);
    Worker& of = workers_[static_cast<std::size_t>(node.worker)];
    const auto active =
        std::find_if(of.active.begin(), of.active.end(), [&](const Active& entry) { return entry.ref == ref; });
    CHECK(active != of.active.end());
    if (observer_.on_node_end) observer_.on_node_end({.node = ref, .begin_s = active->begin_s, .end_s = now_s_}, plan_);
    of.active.erase(active);
    history_[static_cast<std::size_t>(ref.pipeline)].observe(ref.step, ref.node, true_s_[ref]);
    true_s_.erase(ref);
    const bool continues = plan_.window(ref.pipeline).graph(ref.step).continues_after(ref.node);
    plan_.finish(ref, now());
    may_reshare_ = true;
    if (continues) activate({ref.pipeline, ref.step, ref.node + 1});
    touched_.insert(ref.pipeline);
  }

  void finish_step(int pipeline) {
    const auto place = static_cast<std::size_t>(pipeline);
    const std::int64_t step = plan_.step(pipeline);
    history_[place].finish_step(step);
    ++totals_[place].steps;
    totals_[place].tokens += pipelines_[place].durations->tokens(step);
    totals_[place].last_end_s = now_s_;
    plan_.advance(pipeline, now());
    plan_.set_forecast(pipeline, history_[place].forecast());
  }

  Result<RunSummary> stalled() const {
    std::string waiting;
    for (const NodeRef ref : plan_.ready()) {
      waiting += (waiting.empty() ? "" : ", ") + plan_.spec(ref.pipeline).name + " " + to_string(plan_.node(ref));
    }
    return Error(ErrorCode::kInternal,
                 "policy '" + std::string(policy_.name()) +
                     "' starts nothing though nothing runs; ready: " + (waiting.empty() ? "nothing" : waiting));
  }

  RunSummary summarize() const {
    RunSummary summary;
    summary.kind = "simulated";
    summary.policy = std::string(policy_.name());
    summary.wall_s = now_s_;
    double tokens = 0, busy_s = 0;
    for (std::size_t i = 0; i < pipelines_.size(); ++i) {
      PipelineSummary pipeline;
      pipeline.name = pipelines_[i].spec.name;
      pipeline.steps = totals_[i].steps;
      pipeline.tokens = std::llround(totals_[i].tokens);
      pipeline.step_s_mean = totals_[i].last_end_s / static_cast<double>(std::max<std::int64_t>(1, totals_[i].steps));
      tokens += totals_[i].tokens;
      summary.pipelines.push_back(pipeline);
    }
    for (const Worker& worker : workers_) busy_s += worker.busy_s;
    summary.tokens = std::llround(tokens);
    summary.tokens_per_s = now_s_ > 0 ? tokens / now_s_ : 0;
    summary.worker_busy_share = now_s_ > 0 ? busy_s / (now_s_ * plan_.num_workers()) : 0;
    set_decision_times(summary, decision_us_);
    return summary;
  }

  const std::vector<SimulatedPipeline>& pipelines_;
  const Policy& policy_;
  const Capacity& capacity_;
  const SimulationObserver& observer_;
  Plan plan_;
  std::vector<History> history_;
  std::vector<Totals> totals_;
  std::vector<Worker> workers_;  // [0] unused
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
  std::map<NodeRef, double> true_s_;
  std::map<std::tuple<int, std::int64_t, int>, std::vector<NodeRef>> layers_;  // updates that wait, by step and update
  std::set<int> touched_;  // pipelines of which something has ended just now
  std::vector<double> decision_us_;
  double now_s_ = 0;
  bool may_reshare_ = true;
};

}  // namespace

Result<RunSummary> simulate(const std::vector<SimulatedPipeline>& pipelines, const Policy& policy,
                            const Capacity& capacity, const SimulationObserver& observer) {
  JIGSAW_ASSIGN_OR_RETURN(RunSummary summary, Simulation(pipelines, policy, capacity, observer).run());
  for (std::size_t i = 0; i < pipelines.size(); ++i) {
    Capacity for_one = capacity;
    for_one.memory = MemoryLedger();
    const SimulationObserver nobody;
    const SerialPolicy serial;
    const std::vector<SimulatedPipeline> alone = {pipelines[i]};
    JIGSAW_ASSIGN_OR_RETURN(const RunSummary by_itself, Simulation(alone, serial, for_one, nobody).run());
    if (by_itself.pipelines[0].step_s_mean > 0) {
      summary.pipelines[i].latency_factor = summary.pipelines[i].step_s_mean / by_itself.pipelines[0].step_s_mean;
    }
  }
  return summary;
}

}  // namespace jigsaw
