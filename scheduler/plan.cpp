#include "scheduler/plan.h"

#include <algorithm>

#include "core/check.h"

namespace jigsaw {
namespace {

constexpr int kNamesMax = 4;  // told of what a pipeline waits for
// Part of what a node was expected to take that is still left when it takes longer.
constexpr double kLateEnd = 0.05;

}  // namespace

Plan::Plan(std::vector<PipelineSpec> specs, std::span<const std::int64_t> first_steps, int num_workers)
    : specs_(std::move(specs)),
      runs_(specs_.size()),
      ready_on_(static_cast<std::size_t>(num_workers) + 1),
      running_on_(static_cast<std::size_t>(num_workers) + 1),
      progress_on_(static_cast<std::size_t>(num_workers) + 1),
      is_touched_(static_cast<std::size_t>(num_workers) + 1),
      num_workers_(num_workers) {
  touch_all();
  CHECK(first_steps.size() == specs_.size());
  for (int pipeline = 0; pipeline < num_pipelines(); ++pipeline) {
    extend_window(pipeline, first_steps[static_cast<std::size_t>(pipeline)], {});
  }
}

Plan::StepRun Plan::fresh_step(const Graph& graph) const {
  StepRun step;
  step.states.assign(graph.nodes().size(), NodeState::kWaiting);
  step.ready_since.resize(graph.nodes().size());
  step.num_open = static_cast<int>(graph.nodes().size());
  for (const Barrier& barrier : graph.barriers()) {
    step.open_barriers.push_back(static_cast<int>(barrier.waits_for.size()));
  }
  for (const Node& node : graph.nodes()) ++step.open_kinds[static_cast<std::size_t>(node.kind)];
  return step;
}

void Plan::extend_window(int pipeline, std::int64_t first_step, Clock::TimePoint now) {
  Run& of = run(pipeline);
  const PipelineSpec& its_spec = spec(pipeline);
  if (first_step > its_spec.steps) {
    if (!of.done) ++num_done_;
    of.done = true;
    return;
  }
  const std::int64_t known_until = of.steps.empty() ? first_step - 1 : of.window.last_step();
  of.window = Window::build(its_spec, first_step, first_step + Window::length(its_spec) - 1, num_workers_);
  if (of.steps.empty()) {
    if (const Status status = of.window.validate(its_spec); !status.ok()) CHECK_FAILED(status.error().message());
  }
  for (std::int64_t step = known_until + 1; step <= of.window.last_step(); ++step) {
    const Graph& graph = of.window.graph(step);
    of.steps.push_back(fresh_step(graph));
    for (int node = 0; node < static_cast<int>(graph.nodes().size()); ++node) {
      if (graph.node(node).barrier < 0 && !graph.node(node).continues) release({pipeline, step, node}, now);
    }
  }
  try_gated(pipeline, now);
}

const Plan::StepRun& Plan::step_run(NodeRef ref) const {
  const Run& of = runs_[static_cast<std::size_t>(ref.pipeline)];
  CHECK(of.window.has(ref.step));
  return of.steps[static_cast<std::size_t>(ref.step - of.window.first_step())];
}

Plan::StepRun& Plan::step_run(NodeRef ref) { return const_cast<StepRun&>(std::as_const(*this).step_run(ref)); }

void Plan::release(NodeRef ref, Clock::TimePoint now) {
  StepRun& step = step_run(ref);
  const bool is_held = is_paused(ref.pipeline) && step.num_started == 0;
  if (!is_held && cross_step_edges_open(ref)) {
    step.states[static_cast<std::size_t>(ref.node)] = NodeState::kReady;
    step.ready_since[static_cast<std::size_t>(ref.node)] = now;
    add_ready(ref);
  } else {
    step.gated.push_back(ref.node);
  }
}

bool Plan::cross_step_edges_open(NodeRef ref) const {
  const Run& of = runs_[static_cast<std::size_t>(ref.pipeline)];
  const Node& to = node(ref);
  for (const CrossStepEdge& edge : of.window.cross_step_edges()) {
    const std::int64_t from_step = ref.step + edge.offset;
    if (!edge.holds(to) || from_step < of.window.first_step() || from_step > spec(ref.pipeline).steps) continue;
    if (!of.window.has(from_step)) return false;
    const StepRun& from = of.steps[static_cast<std::size_t>(from_step - of.window.first_step())];
    if (from.open_kinds[static_cast<std::size_t>(edge.from)] > 0) return false;
  }
  return true;
}

void Plan::try_gated(int pipeline, Clock::TimePoint now) {
  Run& of = run(pipeline);
  for (std::int64_t step = of.window.first_step(); step <= of.window.last_step(); ++step) {
    StepRun& step_state = of.steps[static_cast<std::size_t>(step - of.window.first_step())];
    if (step_state.gated.empty()) continue;
    std::vector<int> gated = std::move(step_state.gated);
    step_state.gated.clear();
    for (const int node : gated) release({pipeline, step, node}, now);
  }
}

bool Plan::step_finished(int pipeline) const {
  const Run& of = runs_[static_cast<std::size_t>(pipeline)];
  return !of.done && of.steps.front().num_open == 0;
}

bool Plan::step_started(int pipeline, std::int64_t step) const {
  return window(pipeline).has(step) && step_run({pipeline, step, 0}).num_started > 0;
}

bool Plan::kind_started(int pipeline, std::int64_t step, SubStageKind kind) const {
  return window(pipeline).has(step) && step_run({pipeline, step, 0}).started_kinds[static_cast<std::size_t>(kind)] > 0;
}

int Plan::num_open(int pipeline, std::int64_t step, SubStageKind kind) const {
  return step_run({pipeline, step, 0}).open_kinds[static_cast<std::size_t>(kind)];
}

std::string Plan::waiting_for(int pipeline) const {
  std::string names;
  if (done(pipeline)) return names;
  const auto of_pipeline = [&](const std::set<NodeRef>& refs) {
    return std::pair(refs.lower_bound({pipeline, 0, 0}), refs.lower_bound({pipeline + 1, 0, 0}));
  };
  if (const auto [first, last] = of_pipeline(ready_); first != last) return names;
  const auto [first, last] = of_pipeline(running_);
  int more = 0;
  for (auto [ref, told] = std::pair(first, 0); ref != last; ++ref, ++told) {
    if (told < kNamesMax) names += (names.empty() ? "" : ", ") + to_string(node(*ref));
    if (told >= kNamesMax) ++more;
  }
  if (more > 0) names += " and " + std::to_string(more) + " more";
  if (names.empty() && is_paused(pipeline)) names = "being resumed";
  return names;
}

void Plan::begin_running(NodeRef ref, double share, Clock::TimePoint now) {
  StepRun& step = step_run(ref);
  const Node& its_node = node(ref);
  const auto worker = static_cast<std::size_t>(its_node.worker);
  step.states[static_cast<std::size_t>(ref.node)] = NodeState::kRunning;
  ++step.num_started;
  ++step.started_kinds[static_cast<std::size_t>(its_node.kind)];
  touch(its_node.worker);
  running_.insert(ref);
  running_on_[worker].push_back(ref);
  progress_on_[worker].push_back({.ref = ref, .started = now, .since = now, .share = share});
  if (its_node.kind == SubStageKind::kUpdate) renew_updating(ref.pipeline);
}

void Plan::renew_updating(int pipeline) {
  const Run& of = run(pipeline);
  const auto kind = static_cast<std::size_t>(SubStageKind::kUpdate);
  const bool is_updating = !of.done && std::ranges::any_of(of.steps, [&](const StepRun& step) {
    return step.started_kinds[kind] > 0 && step.open_kinds[kind] > 0;
  });
  const auto place = std::lower_bound(updating_.begin(), updating_.end(), pipeline);
  const bool was_updating = place != updating_.end() && *place == pipeline;
  if (is_updating && !was_updating) updating_.insert(place, pipeline);
  if (!is_updating && was_updating) updating_.erase(place);
}

// What was under way to a tail that has ended is not counted.
void Plan::end_merges(NodeRef ref, Clock::TimePoint now) {
  const Progress ended = progress_of(ref);
  if (ended.num_incoming > 0) {
    for (const NodeRef other : running_) {
      if (std::optional<NodeRef>& into = mutable_progress_of(other).merges_into; into == ref) into.reset();
    }
  }
  if (!ended.merges_into) return;
  Progress& target = mutable_progress_of(*ended.merges_into);
  --target.num_incoming;
  const auto moved = sequences(ref, now), there = sequences(*ended.merges_into, now);
  if (!moved || !there || moved->running.count == 0) return;
  const TailForecast& tail = forecast(ref.pipeline).tail;
  const RunningSequences added = tail.after(moved->running, moved->work_since_s);
  RunningSequences sum = tail.after(there->running, there->work_since_s);
  sum.count += added.count;
  sum.tokens += (added.tokens - sum.tokens) * added.count / sum.count;
  target.news_count = 0;
  set_sequences(*ended.merges_into, sum, now);
}

double Plan::end_running(NodeRef ref) {
  const auto worker = static_cast<std::size_t>(node(ref).worker);
  const double its_share = share(ref);
  touch(static_cast<int>(worker));
  running_.erase(ref);
  std::erase(running_on_[worker], ref);
  std::erase_if(progress_on_[worker], [&](const Progress& progress) { return progress.ref == ref; });
  return its_share;
}

void Plan::start(NodeRef ref, double share, Clock::TimePoint now) {
  CHECK(state(ref) == NodeState::kReady);
  ++revision_;
  remove_ready(ref);
  begin_running(ref, share, now);
}

void Plan::finish(NodeRef ref, Clock::TimePoint now) {
  CHECK(state(ref) == NodeState::kRunning);
  ++revision_;
  const Graph& graph = window(ref.pipeline).graph(ref.step);
  const Node& its_node = graph.node(ref.node);
  StepRun& step = step_run(ref);
  end_merges(ref, now);
  const double its_share = end_running(ref);
  step.states[static_cast<std::size_t>(ref.node)] = NodeState::kDone;
  --step.num_open;
  --step.open_kinds[static_cast<std::size_t>(its_node.kind)];
  if (graph.continues_after(ref.node)) {
    begin_running({ref.pipeline, ref.step, ref.node + 1}, its_share, now);
    return;
  }
  open_barrier_after(ref, now);
  if (step.open_kinds[static_cast<std::size_t>(its_node.kind)] > 0) return;
  try_gated(ref.pipeline, now);
  if (its_node.kind != SubStageKind::kUpdate) return;
  renew_updating(ref.pipeline);
  touch_all();  // others' updates may have waited for the end of these
}

void Plan::open_barrier_after(NodeRef ref, Clock::TimePoint now) {
  const Graph& graph = window(ref.pipeline).graph(ref.step);
  if (graph.node(ref.node).closes < 0) return;
  const auto barrier = static_cast<std::size_t>(graph.node(ref.node).closes);
  if (--step_run(ref).open_barriers[barrier] > 0) return;
  for (const int released : graph.barriers()[barrier].releases) release({ref.pipeline, ref.step, released}, now);
}

void Plan::touch(int worker) {
  if (is_touched_[static_cast<std::size_t>(worker)]) return;
  is_touched_[static_cast<std::size_t>(worker)] = true;
  touched_.push_back(worker);
}

void Plan::touch_all() {
  for (int worker = 1; worker <= num_workers_; ++worker) touch(worker);
}

void Plan::forget_touched() {
  for (const int worker : touched_) is_touched_[static_cast<std::size_t>(worker)] = false;
  touched_.clear();
}

void Plan::add_ready(NodeRef ref) {
  ready_.insert(ref);
  std::vector<NodeRef>& on_worker = ready_on_[static_cast<std::size_t>(node(ref).worker)];
  on_worker.insert(std::upper_bound(on_worker.begin(), on_worker.end(), ref), ref);
  touch(node(ref).worker);
}

void Plan::remove_ready(NodeRef ref) {
  ready_.erase(ref);
  std::erase(ready_on_[static_cast<std::size_t>(node(ref).worker)], ref);
}

void Plan::advance(int pipeline, Clock::TimePoint now) {
  CHECK(step_finished(pipeline));
  const std::int64_t next = step(pipeline) + 1;
  run(pipeline).steps.pop_front();
  extend_window(pipeline, next, now);
}

void Plan::skip_done(int pipeline, const std::function<bool(NodeRef)>& is_done, Clock::TimePoint now) {
  if (done(pipeline)) return;
  const auto skip_one = [&] {
    for (auto ref = ready_.lower_bound({pipeline, 0, 0}); ref != ready_.end() && ref->pipeline == pipeline; ++ref) {
      if (!is_done(*ref)) continue;
      NodeRef at = *ref;
      start(at, 1, now);
      for (; window(pipeline).graph(at.step).continues_after(at.node); ++at.node) finish(at, now);
      finish(at, now);
      return true;
    }
    return false;
  };
  while (skip_one()) continue;
}

void Plan::stop(int pipeline) {
  ++revision_;
  Run& of = run(pipeline);
  if (!of.done) ++num_done_;
  of.done = true;
  while (true) {
    const auto ref = ready_.lower_bound({pipeline, 0, 0});
    if (ref == ready_.end() || ref->pipeline != pipeline) break;
    remove_ready(*ref);
  }
  while (true) {
    const auto ref = running_.lower_bound({pipeline, 0, 0});
    if (ref == running_.end() || ref->pipeline != pipeline) break;
    end_running(*ref);
  }
  renew_updating(pipeline);
  touch_all();
}

void Plan::set_paused(int pipeline, bool is_paused, Clock::TimePoint now) {
  Run& of = run(pipeline);
  if (of.done || of.is_paused == is_paused) return;
  ++revision_;
  of.is_paused = is_paused;
  if (!is_paused) {
    try_gated(pipeline, now);
    return;
  }
  for (auto ref = ready_.lower_bound({pipeline, 0, 0}); ref != ready_.end() && ref->pipeline == pipeline;) {
    StepRun& step = step_run(*ref);
    if (step.num_started > 0) {
      ++ref;
      continue;
    }
    step.states[static_cast<std::size_t>(ref->node)] = NodeState::kWaiting;
    step.gated.push_back(ref->node);
    const NodeRef held = *ref++;
    remove_ready(held);
  }
}

void Plan::set_weight(int pipeline, double weight) {
  ++revision_;
  specs_[static_cast<std::size_t>(pipeline)].weight = weight;
}

void Plan::set_forecast(int pipeline, Forecast forecast) {
  ++revision_;
  run(pipeline).forecast = std::move(forecast);
}

Clock::TimePoint Plan::ready_since(NodeRef ref) const {
  return step_run(ref).ready_since[static_cast<std::size_t>(ref.node)];
}

const Plan::Progress& Plan::progress_of(NodeRef ref) const {
  const std::vector<Progress>& on_worker = progress_on_[static_cast<std::size_t>(node(ref).worker)];
  const auto progress =
      std::find_if(on_worker.begin(), on_worker.end(), [&](const Progress& entry) { return entry.ref == ref; });
  CHECK(progress != on_worker.end());
  return *progress;
}

Plan::Progress& Plan::mutable_progress_of(NodeRef ref) { return const_cast<Progress&>(progress_of(ref)); }

double Plan::work_done_s(NodeRef ref, Clock::TimePoint now) const {
  const Progress& progress = progress_of(ref);
  return progress.work_s + progress.rate * std::chrono::duration<double>(now - progress.since).count();
}

void Plan::set_expected(NodeRef ref, double seconds) { step_run(ref).expected_s[ref.node] = seconds; }

double Plan::seconds_of(NodeRef ref) const {
  const auto& expected_s = step_run(ref).expected_s;
  const auto known = expected_s.find(ref.node);
  return known != expected_s.end() ? known->second : forecast(ref.pipeline).seconds_of(ref.node);
}

double Plan::remaining_s(NodeRef ref, Clock::TimePoint now) const {
  if (waits_for_peers(ref)) return 0;  // what follows waits for all of its layer
  const Forecast& its_forecast = forecast(ref.pipeline);
  // Of a running tail the sequences that still run tell more than how long it has been running.
  if (const auto its_sequences = sequences(ref, now); its_sequences && !its_forecast.tail.empty()) {
    const RunningSequences left = its_forecast.tail.after(its_sequences->running, its_sequences->work_since_s);
    return its_forecast.tail.remaining({&left, 1}).mean_s();
  }
  const double done_s = work_done_s(ref, now);
  const auto& expected_s = step_run(ref).expected_s;
  const auto known = expected_s.find(ref.node);
  if (known == expected_s.end()) return its_forecast.remaining_s(ref.node, done_s);
  return std::max(known->second - done_s, kLateEnd * known->second);
}

void Plan::set_rate(NodeRef ref, double rate, Clock::TimePoint now) {
  Progress& progress = mutable_progress_of(ref);
  progress.work_s = work_done_s(ref, now);
  progress.since = now;
  progress.rate = rate;
}

void Plan::set_waits_for_peers(NodeRef ref) {
  CHECK(node(ref).kind == SubStageKind::kUpdate);
  ++revision_;
  mutable_progress_of(ref).waits_for_peers = true;
  touch(node(ref).worker);
}

bool Plan::set_sequences(NodeRef ref, RunningSequences sequences, Clock::TimePoint now) {
  Progress& progress = mutable_progress_of(ref);
  progress.sequences = sequences;
  progress.sequences_work_s = work_done_s(ref, now);
  const bool is_half = 2 * sequences.count <= progress.news_count;
  if (progress.news_count == 0 || is_half) progress.news_count = sequences.count;
  if (is_half) touch(node(ref).worker);
  return is_half;
}

std::optional<Plan::Sequences> Plan::sequences(NodeRef ref, Clock::TimePoint now) const {
  const Progress& progress = progress_of(ref);
  if (!progress.sequences) return std::nullopt;
  return Sequences{*progress.sequences, work_done_s(ref, now) - progress.sequences_work_s};
}

bool Plan::can_merge(NodeRef from, NodeRef to) const {
  if (from.pipeline != to.pipeline || from.step != to.step || from.node == to.node) return false;
  for (const NodeRef ref : {from, to}) {
    if (!running_.contains(ref)) return false;
    if (node(ref).kind != SubStageKind::kDecodeTail) return false;
  }
  return !is_merging(from) && !progress_of(from).gave_up && !progress_of(to).merges_into;
}

void Plan::begin_merge(NodeRef from, NodeRef to) {
  CHECK(can_merge(from, to));
  ++revision_;
  mutable_progress_of(from).merges_into = to;
  ++mutable_progress_of(to).num_incoming;
}

void Plan::give_up_merge(NodeRef from) {
  Progress& progress = mutable_progress_of(from);
  progress.gave_up = true;
  std::optional<NodeRef>& into = progress.merges_into;
  if (!into) return;  // its target has ended meanwhile
  ++revision_;
  touch(node(from).worker);
  --mutable_progress_of(*into).num_incoming;
  into.reset();
}

bool Plan::is_merging(NodeRef ref) const {
  const Progress& progress = progress_of(ref);
  return progress.merges_into.has_value() || progress.num_incoming > 0;
}

}  // namespace jigsaw
