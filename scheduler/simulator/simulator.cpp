#include "scheduler/simulator/simulator.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <queue>
#include <set>
#include <tuple>

#include "core/check.h"
#include "scheduler/co_run.h"
#include "scheduler/policies/serial.h"
#include "scheduler/prediction/history.h"

namespace jigsaw {
namespace {

using Seconds = std::chrono::duration<double>;

class Simulation {
 public:
  Simulation(const std::vector<SimulatedPipeline>& pipelines, const Policy& policy, const Capacity& capacity,
             const SimulationObserver& observer, const SlowdownTable& true_slowdown)
      : pipelines_(pipelines),
        policy_(policy),
        capacity_(capacity),
        true_slowdown_(true_slowdown),
        observer_(observer),
        plan_(specs_of(pipelines), std::vector<std::int64_t>(pipelines.size(), 1), capacity.num_workers),
        history_(histories_of(pipelines)),
        co_runs_(capacity_.slowdown, capacity.num_workers),
        totals_(pipelines.size()),
        workers_(static_cast<std::size_t>(capacity.num_workers) + 1) {}

  Result<RunSummary> run() {
    schedule();
    while (!plan_.all_done()) {
      if (!advance_to_next_end()) return stalled();
      schedule();
    }
    if (observer_.on_end) observer_.on_end(capacity_.slowdown);
    return summarize();
  }

 private:
  struct Active {
    NodeRef ref;
    double work_s = 0, left_s = 0, rate = 1, begin_s = 0;
    bool waits_for_layer = false;  // an update that has done its part
    // Of a last decode.tail; sequences up to tail->ends()[num_ends - 1] have ended.
    std::optional<SimulatedTail> tail{};
    std::size_t num_ends = 0;

    // Work until something changes: until the next of its sequences ends.
    double next_s() const {
      if (!tail || num_ends >= tail->ends().size()) return left_s;
      return std::min(left_s, tail->ends()[num_ends].work_s - done_s());
    }
    double done_s() const { return tail->total_s() - left_s; }
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
  // The earliest end on a worker, of a sub-stage or of a tail's sequence; stale when the worker's next_end_s is another
  // by now.
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

  static std::vector<History> histories_of(const std::vector<SimulatedPipeline>& pipelines) {
    std::vector<History> histories;
    for (const SimulatedPipeline& pipeline : pipelines) histories.emplace_back(pipeline.spec.bins, pipeline.cost);
    return histories;
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
    kinds_.clear();
    shares_.clear();
    for (const Active& active : of.active) {
      // What waits for its peers uses nothing, like a wait for tools.
      kinds_.push_back(active.waits_for_layer ? SubStageKind::kTool : plan_.node(active.ref).kind);
      shares_.push_back(plan_.share(active.ref));
    }
    rates_.resize(kinds_.size());
    true_slowdown_.fill_rates(kinds_, shares_, rates_);
    co_runs_.update(plan_, worker, now());
    of.next_end_s = -1;
    for (std::size_t i = 0; i < of.active.size(); ++i) {
      Active& active = of.active[i];
      active.rate = active.waits_for_layer ? 0 : rates_[i];
      if (active.waits_for_layer) continue;
      const double end_s = now_s_ + std::max(0.0, active.next_s()) / active.rate;
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
    Active active{.ref = ref, .work_s = seconds, .left_s = seconds, .begin_s = now_s_};
    if (node.kind == SubStageKind::kDecodeTail && node.turn + 1 == plan_.spec(ref.pipeline).turns) {
      active.tail = pipelines_[static_cast<std::size_t>(ref.pipeline)].durations->tail(ref.step, node);
      if (active.tail) tell_sequences(ref, active.tail->num_sequences(), active.tail->decoded());
    }
    workers_[static_cast<std::size_t>(node.worker)].active.push_back(std::move(active));
  }

  void tell_sequences(NodeRef ref, int running, double decoded) {
    const bool are_half = plan_.set_sequences(ref, {.count = running, .tokens = decoded}, now());
    if (are_half && capacity_.can_merge) has_news_ = true;
  }

  // Again after a merge: workers have become free.
  void schedule() {
    while (schedule_once()) {
    }
  }

  bool schedule_once() {
    if (!has_news_ && plan_.revision() == decided_revision_) return false;
    has_news_ = false;
    const auto begin = std::chrono::steady_clock::now();
    const Decision decision = policy_.choose(plan_, capacity_, now());
    const auto took = std::chrono::steady_clock::now() - begin;
    decided_revision_ = plan_.revision();
    if (decision.start.empty() && decision.wait.empty() && decision.reshare.empty() && decision.merge.empty()) {
      plan_.forget_touched();
      return false;
    }
    decision_us_.push_back(std::chrono::duration<double, std::micro>(took).count());
    if (observer_.on_decision) observer_.on_decision(now_s_, plan_, decision);
    for (const ShareChange& change : decision.reshare) {
      const int worker = plan_.node(change.node).worker;
      settle(worker);
      plan_.set_share(change.node, change.share);
      replan(worker);
    }
    for (const DispatchChoice& choice : decision.start) start(choice.node, choice.share);
    plan_.forget_touched();
    for (const MergeChoice& choice : decision.merge) merge(choice);
    decided_revision_ = plan_.revision();
    return !decision.merge.empty();
  }

  Active& active_of(NodeRef ref) {
    std::vector<Active>& active = workers_[static_cast<std::size_t>(plan_.node(ref).worker)].active;
    const auto found =
        std::find_if(active.begin(), active.end(), [&](const Active& entry) { return entry.ref == ref; });
    CHECK(found != active.end());
    return *found;
  }

  // The sequences are on the other worker at once, which then pays for them.
  void merge(const MergeChoice& choice) {
    CHECK(capacity_.can_merge);
    plan_.begin_merge(choice.from, choice.to);
    const int workers[] = {plan_.node(choice.from).worker, plan_.node(choice.to).worker};
    for (const int worker : workers) {
      settle(worker);
      moved_.insert({choice.from.pipeline, choice.from.step, worker});
    }
    const Active &from = active_of(choice.from), &before = active_of(choice.to);
    CHECK(from.tail && before.tail);
    const std::vector<TailSequence> moving = from.tail->after(from.done_s());
    double context = 0;
    for (const TailSequence& sequence : moving) context += sequence.context;
    const bool is_copied = capacity_.move_token_s > 0;
    const double move_s =
        capacity_.merge_s + (is_copied ? capacity_.move_token_s * context : from.tail->prefill_s(moving));
    Active& to = active_of(choice.to);
    to.tail = to.tail->joined(to.done_s(), moving, move_s);
    to.num_ends = 0;
    to.left_s = to.tail->total_s();
    ++num_merges_;
    if (!is_copied) recomputed_tokens_ += context;
    NodeRef ref = choice.from;
    while (end(ref)) ++ref.node;
    tell_sequences(choice.to, to.tail->num_sequences(), to.tail->decoded());
    for (const int worker : workers) replan(worker);
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
    const double nothing_s = 1e-9 * (1 + now_s_);
    std::vector<NodeRef> ended;
    bool has_told = false;
    for (Active& active : of.active) {
      if (active.waits_for_layer) continue;
      if (active.left_s <= nothing_s) {
        ended.push_back(active.ref);
      } else if (active.next_s() <= nothing_s) {
        while (active.next_s() <= nothing_s) ++active.num_ends;
        const SimulatedTail::End& last = active.tail->ends()[active.num_ends - 1];
        tell_sequences(active.ref, last.running, last.decoded);
        has_told = true;
      }
    }
    CHECK(!ended.empty() || has_told);
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
    plan_.set_waits_for_peers(ref);
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

  // Whether the next node goes on.
  bool end(NodeRef ref) {
    const Active& active = active_of(ref);
    const double work_s = active.work_s;
    const int worker = plan_.node(ref).worker;
    if (observer_.on_node_end) observer_.on_node_end({.node = ref, .begin_s = active.begin_s, .end_s = now_s_}, plan_);
    history_[static_cast<std::size_t>(ref.pipeline)].observe(ref.step, ref.node, work_s);
    const CoRun run = co_runs_.end(worker, ref, now());
    // Where sequences came or went, nobody knows what it would have taken alone.
    if (!moved_.contains({ref.pipeline, ref.step, worker})) co_runs_.observe(plan_, ref, run, work_s);
    std::erase_if(workers_[static_cast<std::size_t>(worker)].active,
                  [&](const Active& entry) { return entry.ref == ref; });
    const bool continues = plan_.window(ref.pipeline).graph(ref.step).continues_after(ref.node);
    plan_.finish(ref, now());
    if (continues) activate({ref.pipeline, ref.step, ref.node + 1});
    touched_.insert(ref.pipeline);
    return continues;
  }

  void finish_step(int pipeline) {
    const auto place = static_cast<std::size_t>(pipeline);
    const std::int64_t step = plan_.step(pipeline);
    observe_completions(pipeline, step);
    history_[place].finish_step(step);
    ++totals_[place].steps;
    totals_[place].tokens += pipelines_[place].durations->tokens(step);
    totals_[place].last_end_s = now_s_;
    plan_.advance(pipeline, now());
    plan_.set_forecast(pipeline, history_[place].forecast());
  }

  void observe_completions(int pipeline, std::int64_t step) {
    const Graph& graph = plan_.window(pipeline).graph(step);
    const auto place = static_cast<std::size_t>(pipeline);
    for (int index = 0; index < static_cast<int>(graph.nodes().size()); ++index) {
      const Node& node = graph.node(index);
      if (node.kind != SubStageKind::kDecodeTail || node.turn + 1 != plan_.spec(pipeline).turns) continue;
      const std::vector<Completion> completions = pipelines_[place].durations->completions(step, node.worker);
      if (completions.empty()) continue;
      const bool has_moved = moved_.erase({pipeline, step, node.worker}) > 0;
      history_[place].observe_completions(step, index, completions, has_moved);
    }
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
    summary.migrations = num_merges_;
    summary.recomputed_tokens = std::llround(recomputed_tokens_);
    set_decision_times(summary, decision_us_);
    return summary;
  }

  const std::vector<SimulatedPipeline>& pipelines_;
  const Policy& policy_;
  Capacity capacity_;  // as the policy knows it; its slowdowns are refined
  const SlowdownTable& true_slowdown_;
  const SimulationObserver& observer_;
  Plan plan_;
  std::vector<History> history_;
  CoRuns co_runs_;
  std::vector<Totals> totals_;
  std::vector<Worker> workers_;  // [0] unused
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
  std::map<std::tuple<int, std::int64_t, int>, std::vector<NodeRef>> layers_;  // updates that wait, by step and update
  std::vector<SubStageKind> kinds_;                                            // scratch
  std::vector<double> shares_, rates_;
  std::set<int> touched_;  // pipelines of which something has ended just now
  std::vector<double> decision_us_;
  double now_s_ = 0;
  std::int64_t decided_revision_ = -1;  // of the plan
  bool has_news_ = false;               // of a tail that could merge
  std::set<std::tuple<int, std::int64_t, int>>
      moved_;  // pipeline, step and worker of tails that sequences came to or left
  std::int64_t num_merges_ = 0;
  double recomputed_tokens_ = 0;
};

double critical_path_s(const SimulatedPipeline& pipeline, int num_workers) {
  const Window window = Window::build(pipeline.spec, 1, pipeline.spec.steps, num_workers);
  return window.critical_path(
      [&](std::int64_t step, int index) { return pipeline.durations->seconds(step, window.graph(step).node(index)); });
}

}  // namespace

Result<std::vector<double>> alone_step_s(const std::vector<SimulatedPipeline>& pipelines, const Capacity& capacity) {
  Capacity for_one = capacity;
  for_one.memory = MemoryLedger();
  const SimulationObserver nobody;
  const SerialPolicy serial;
  std::vector<double> alone_s;
  for (const SimulatedPipeline& pipeline : pipelines) {
    if (pipeline.spec.staleness == 0) {  // nothing of it runs beside anything else
      alone_s.push_back(critical_path_s(pipeline, capacity.num_workers) / static_cast<double>(pipeline.spec.steps));
      continue;
    }
    const std::vector<SimulatedPipeline> alone = {pipeline};
    JIGSAW_ASSIGN_OR_RETURN(const RunSummary by_itself,
                            Simulation(alone, serial, for_one, nobody, for_one.slowdown).run());
    alone_s.push_back(by_itself.pipelines[0].step_s_mean);
  }
  return alone_s;
}

Result<RunSummary> simulate(const std::vector<SimulatedPipeline>& pipelines, const Policy& policy,
                            const Capacity& capacity, const SimulationObserver& observer, std::vector<double> alone_s,
                            const SlowdownTable* true_slowdown) {
  const SlowdownTable& truth = true_slowdown != nullptr ? *true_slowdown : capacity.slowdown;
  JIGSAW_ASSIGN_OR_RETURN(RunSummary summary, Simulation(pipelines, policy, capacity, observer, truth).run());
  if (alone_s.empty()) {
    JIGSAW_ASSIGN_OR_RETURN(alone_s, alone_step_s(pipelines, capacity));
  }
  CHECK(alone_s.size() == pipelines.size());
  for (std::size_t i = 0; i < pipelines.size(); ++i) {
    if (alone_s[i] > 0) summary.pipelines[i].latency_factor = summary.pipelines[i].step_s_mean / alone_s[i];
  }
  return summary;
}

}  // namespace jigsaw
