// The run state over the graphs: where every pipeline stands. Owned by the controller's (or simulator's) thread;
// policies read it.
//
// Of a node:  waiting --(all edges)--> ready --start()--> running --finish()--> done
// The nodes of a rollout's chain go over into each other: finish() of one makes the next running.
//
// Tails can merge: begin_merge(from, to) says that the sequences of a running decode.tail are on their way to another
// worker's. finish(from) then counts them among those of `to`, and from's chain goes on to its end without them.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "core/clock.h"
#include "graph/graph.h"
#include "graph/window.h"
#include "scheduler/prediction/forecast.h"

namespace jigsaw {

enum class NodeState : std::uint8_t { kWaiting, kReady, kRunning, kDone };

struct NodeRef {
  int pipeline = 0;
  std::int64_t step = 1;
  int node = 0;  // in that step's graph
  auto operator<=>(const NodeRef&) const = default;
};

class Plan {
 public:
  // first_steps: the first step of each pipeline, from 1; beyond the last step means that it is done already.
  Plan(std::vector<PipelineSpec> specs, std::span<const std::int64_t> first_steps, int num_workers);

  int num_pipelines() const { return static_cast<int>(specs_.size()); }
  int num_workers() const { return num_workers_; }
  const PipelineSpec& spec(int pipeline) const { return specs_[static_cast<std::size_t>(pipeline)]; }

  // A pipeline is done when its last step is, or once it was told to stop.
  bool done(int pipeline) const { return runs_[static_cast<std::size_t>(pipeline)].done; }
  bool all_done() const { return num_done_ == num_pipelines(); }
  const Window& window(int pipeline) const { return runs_[static_cast<std::size_t>(pipeline)].window; }
  // The first step that is not finished.
  std::int64_t step(int pipeline) const { return window(pipeline).first_step(); }
  const Node& node(NodeRef ref) const { return window(ref.pipeline).graph(ref.step).node(ref.node); }
  NodeState state(NodeRef ref) const { return step_run(ref).states[static_cast<std::size_t>(ref.node)]; }
  bool step_finished(int pipeline) const;  // all nodes of the first step are done
  // Whether any node of a step has been started, or any of this kind; false beyond the window.
  bool step_started(int pipeline, std::int64_t step) const;
  bool kind_started(int pipeline, std::int64_t step, SubStageKind kind) const;
  // Nodes of this kind in a step of the window that are not done.
  int num_open(int pipeline, std::int64_t step, SubStageKind kind) const;
  // Pipelines between the first start and the last end of a step's updates, ascending.
  const std::vector<int>& updating() const { return updating_; }

  // Grows whenever anything starts, ends, or becomes known that could change a decision.
  std::int64_t revision() const { return revision_; }

  const std::set<NodeRef>& ready() const { return ready_; }
  const std::vector<NodeRef>& ready_on(int worker) const { return ready_on_[static_cast<std::size_t>(worker)]; }
  const std::set<NodeRef>& running() const { return running_; }
  const std::vector<NodeRef>& running_on(int worker) const { return running_on_[static_cast<std::size_t>(worker)]; }
  // Workers on which something has become ready, started, ended or, where tails can merge, become half as long, or
  // where a start may have been impossible only because others' updates were under way: since forget_touched(), in no
  // order. What is to be decided is decided there; a policy may leave all other workers as they are.
  const std::vector<int>& touched() const { return touched_; }
  void forget_touched();
  void touch_all();
  // What a pipeline with nothing ready waits for, e.g. "decode.tail@2, reward@3"; empty when something is ready.
  std::string waiting_for(int pipeline) const;

  void start(NodeRef ref, double share, Clock::TimePoint now);
  void finish(NodeRef ref, Clock::TimePoint now);
  // After step_finished: the window moves on by a step, or the pipeline is done.
  void advance(int pipeline, Clock::TimePoint now);
  // In a plan made while a run is under way: starts and ends what `is_done` says has been done before it, a rollout's
  // chain as a whole.
  void skip_done(int pipeline, const std::function<bool(NodeRef)>& is_done, Clock::TimePoint now);
  // The pipeline takes no further part.
  void stop(int pipeline);
  // While it is paused no step of it begins; what has begun goes on.
  void set_paused(int pipeline, bool is_paused, Clock::TimePoint now);
  bool is_paused(int pipeline) const { return runs_[static_cast<std::size_t>(pipeline)].is_paused; }
  void set_weight(int pipeline, double weight);

  // What the last steps say of the next ones; empty until there are any.
  const Forecast& forecast(int pipeline) const { return runs_[static_cast<std::size_t>(pipeline)].forecast; }
  void set_forecast(int pipeline, Forecast forecast);
  // What a node's samples say that it takes, in seconds of work: more than the steps before it can.
  void set_expected(NodeRef ref, double seconds);
  // What a node that has not started takes, and what a running one still does, as far as is known.
  double seconds_of(NodeRef ref) const;
  double remaining_s(NodeRef ref, Clock::TimePoint now) const;
  Clock::TimePoint ready_since(NodeRef ref) const;  // of a ready node
  // Of running nodes: weight against others on the worker, since when, and the seconds of work (alone, on the whole
  // worker) that they have behind them.
  double share(NodeRef ref) const { return progress_of(ref).share; }
  Clock::TimePoint started_at(NodeRef ref) const { return progress_of(ref).started; }
  double work_done_s(NodeRef ref, Clock::TimePoint now) const;
  // From now on a running node has this share, and goes on at `rate` of its speed alone.
  void set_share(NodeRef ref, double share) { mutable_progress_of(ref).share = share; }
  void set_rate(NodeRef ref, double rate, Clock::TimePoint now);

  // A running update has done its part: it uses nothing any more, and ends with the others of its layer.
  void set_waits_for_peers(NodeRef ref);
  bool waits_for_peers(NodeRef ref) const { return progress_of(ref).waits_for_peers; }

  // Of a running decode.tail: the sequences that have not ended, as last told, and how much work was
  // done since. Empty when nobody told.
  struct Sequences {
    RunningSequences running;
    double work_since_s = 0;
  };
  // True when half of them have ended since the beginning, or since it was true: where tails can merge, the moment to
  // ask the policy again.
  bool set_sequences(NodeRef ref, RunningSequences sequences, Clock::TimePoint now);
  std::optional<Sequences> sequences(NodeRef ref, Clock::TimePoint now) const;
  // Whether both are running tails, of one pipeline and step on two workers, `from` takes part in no
  // merge, nor has given one up, and `to` is not on its way elsewhere. Several can merge into one.
  bool can_merge(NodeRef from, NodeRef to) const;
  void begin_merge(NodeRef from, NodeRef to);
  // Some or all of from's sequences stay, and it goes on as a tail of its own, to its end: whoever had no room for them
  // would be asked again and again.
  void give_up_merge(NodeRef from);
  // Whether sequences of this running node are on their way elsewhere, or others on their way to it.
  bool is_merging(NodeRef ref) const;

 private:
  struct Progress {
    NodeRef ref;
    Clock::TimePoint started, since;
    double work_s = 0;  // until `since`
    double rate = 1;    // from then on
    double share = 1;
    bool waits_for_peers = false;
    std::optional<RunningSequences> sequences{};
    double sequences_work_s = 0;  // as of this much work
    int news_count = 0;           // of sequences, when they were half as many the last time
    std::optional<NodeRef> merges_into{};
    int num_incoming = 0;  // merges into this one
    bool gave_up = false;  // a merge: its sequences stay where they are
  };
  struct StepRun {
    std::vector<NodeState> states;
    std::vector<Clock::TimePoint> ready_since;
    std::vector<int> open_barriers;  // nodes that each barrier still waits for
    std::array<int, kNumSubStageKinds> open_kinds{}, started_kinds{};
    std::vector<int> gated;              // waiting for edges from other steps only
    std::map<int, double> expected_s{};  // by node, where it is known
    int num_open = 0, num_started = 0;
  };
  struct Run {
    Window window;
    std::deque<StepRun> steps;  // of the window
    Forecast forecast;
    bool done = false, is_paused = false;
  };

  Run& run(int pipeline) { return runs_[static_cast<std::size_t>(pipeline)]; }
  const Run& run(int pipeline) const { return runs_[static_cast<std::size_t>(pipeline)]; }
  const StepRun& step_run(NodeRef ref) const;
  StepRun& step_run(NodeRef ref);
  const Progress& progress_of(NodeRef ref) const;
  Progress& mutable_progress_of(NodeRef ref);
  StepRun fresh_step(const Graph& graph) const;
  void extend_window(int pipeline, std::int64_t first_step, Clock::TimePoint now);
  void release(NodeRef ref, Clock::TimePoint now);  // its step's own edges are open
  bool cross_step_edges_open(NodeRef ref) const;
  void try_gated(int pipeline, Clock::TimePoint now);
  void open_barrier_after(NodeRef ref, Clock::TimePoint now);
  void add_ready(NodeRef ref);
  void remove_ready(NodeRef ref);
  void touch(int worker);
  void begin_running(NodeRef ref, double share, Clock::TimePoint now);
  void end_merges(NodeRef ref, Clock::TimePoint now);
  double end_running(NodeRef ref);  // returns its share
  void renew_updating(int pipeline);

  std::vector<PipelineSpec> specs_;
  std::vector<Run> runs_;
  std::set<NodeRef> ready_, running_;
  std::vector<std::vector<NodeRef>> ready_on_;      // by worker, [0] unused; ascending
  std::vector<std::vector<NodeRef>> running_on_;    // the same, as they were started
  std::vector<std::vector<Progress>> progress_on_;  // beside running_on_
  std::vector<bool> is_touched_;                    // by worker
  std::vector<int> touched_, updating_;
  int num_workers_;
  int num_done_ = 0;
  std::int64_t revision_ = 0;
};

}  // namespace jigsaw
