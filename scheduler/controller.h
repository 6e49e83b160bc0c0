// The controller: one loop over worker messages, one Plan, one policy. It knows samples, steps and barriers, and
// nothing of models or algorithms. Everything runs on the thread that calls run().
//
// A worker that is lost (its process ends, it is silent for too long, it cannot be reached) takes no further part: all
// others drop what they do (Quiesce), a new plan is made for those who are left, and what is not done yet is handed out
// anew. Nothing that workers had is needed for that: weights and optimizer state are the same on each, finished samples
// are here.
//
// Queues: the transport's inbox (workers fill, this loop drains; bound kQueuedMessagesMax, then workers' sends fail and
// they stop with that reason); trajectories of the running step of each pipeline (bound: samples_per_step).
// Waits: receive() (20 ms); Hello and Ready of every worker; a silent worker, and Quiesced of every worker
// (worker_timeout, then it is lost).
#pragma once

#include <atomic>
#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/clock.h"
#include "core/result.h"
#include "core/transport/transport.h"
#include "core/wire/control_messages.pb.h"
#include "core/wire/messages.pb.h"
#include "scheduler/co_run.h"
#include "scheduler/members.h"
#include "scheduler/plan.h"
#include "scheduler/policy.h"
#include "scheduler/prediction/history.h"
#include "scheduler/prediction/work_scale.h"
#include "scheduler/run_observer.h"
#include "scheduler/run_summary.h"
#include "scheduler/step_state.h"
#include "scheduler/training_work.h"

namespace jigsaw {

// Where a pipeline starts from.
struct StartPoint {
  std::int64_t step = 0;  // steps done
  std::string folder;     // checkpoint to load; empty = the model of the job file
};

struct ControllerOptions {
  std::string job_yaml, job_name;
  int num_workers = 1;
  std::size_t memory_bytes_per_worker = 0;  // 0 = no bound
  SlowdownTable slowdown;                   // as far as it was measured on this machine
  std::map<std::string, ModelCost> costs;   // by pipeline's name; the same
  bool can_merge = true;                    // whether running rollouts may move between workers
  std::filesystem::path checkpoint_root;    // checkpoints go to <root>/<pipeline>/step-00000010
  std::chrono::milliseconds worker_timeout{60000};
  std::chrono::milliseconds start_timeout{600000};  // loading models
  const std::atomic<bool>* stop = nullptr;          // becomes true when the run is to end with a checkpoint
  // Of `jigsaw ctl` and of workers that join: wire::ControlRequest from peer 1, answered one by one. May be null.
  Transport* control = nullptr;
  // Lets a new worker connect that has this key; null where none can join.
  std::function<Result<wire::ControlReply::Joined>(PeerId worker, const std::string& public_key)> admit;
  // The job with the pipelines of a further YAML, which came from `file`; null where none can be added.
  std::function<Result<Addition>(const std::string& job_yaml, const std::string& yaml, const std::string& file)> extend;
};

class Controller {
 public:
  // All references outlive the controller.
  Controller(std::vector<PipelineSpec> specs, std::vector<StartPoint> start_points, ControllerOptions options,
             std::unique_ptr<Policy> policy, Transport& transport, RunObserver& observer,
             const Clock& clock = system_clock());

  // Runs all pipelines to their last step, or to `stop`. Whatever the outcome, the workers are told to shut down.
  Result<RunSummary> run();

 private:
  // How far a worker has come in a pipeline.
  struct Progress {
    std::int64_t version = 0;      // updates applied
    std::int64_t synced_step = 0;  // newest step whose rollout has its weights
  };
  // How an update's slots are shared out: the same for all of its participants.
  struct UpdateShares {
    std::uint64_t attempt = 0;
    std::vector<PeerId> owners{};      // of chunk pairs of long samples, then of slots
    std::size_t num_pairs = 0;         // of these
    std::vector<TokenSums> samples{};  // as many: what each trains
  };
  struct PipelineRun {
    std::map<std::int64_t, StepState> steps;  // of the window, those that have begun
    PipelineTotals totals;                    // of the steps before them
    History history;
    TrainingWork training_work;
    std::optional<UpdateShares> shares;  // of the newest update
    WorkScale work_scale;
    std::int64_t learns_from_step = 0;   // before it, work was handed out anew, so that nodes did parts only
    Clock::TimePoint step_begin;         // end of the step before, or the run's begin
    std::int64_t first_version = 0;      // optimizer updates made before this run's first step
    bool is_stopping = false;            // it is to end with a checkpoint
    bool is_cancelled = false;           // while stopping: its workers were told
    bool is_paused = false;              // by `jigsaw ctl`
    std::int64_t checkpointed_step = 0;  // newest step that a checkpoint holds
    std::int64_t reported_step = 0;      // newest step that the observer has been told of
    std::map<PeerId, Progress> progress;
    std::set<std::pair<std::int64_t, int>> moved;  // step, worker of the plan: samples have come or gone
  };
  // A node that has ended: what it ran beside, and its work as the worker tells it.
  struct Ran {
    NodeRef ref;
    CoRun run;
    double work_s = 0;
  };
  // A sub-stage that a worker was sent and has not finished.
  struct Dispatched {
    PeerId worker = 0;
    NodeRef ref;          // of a rollout, where it is in its chain
    double busy_s = 0;    // that the worker has told of, up to there
    bool in_plan = true;  // false: the checkpoint written while stopping, or for a worker that joins
    bool checkpoint = false, for_joining = false;
    std::string folder;      // of the checkpoint
    std::vector<Ran> ran{};  // nodes of its chain that have ended
  };

  // A worker that joins gets the pipelines' state from checkpoints that are made for it while none is in a step:
  //   kConnecting --Hello--> kPausing --nothing under way--> kSaving --written--> kLoading --Ready--> a new plan
  enum class JoinPhase { kConnecting, kPausing, kSaving, kLoading };
  struct Joining {
    PeerId worker = 0;
    JoinPhase phase = JoinPhase::kConnecting;
    Clock::TimePoint deadline;           // of connecting and loading
    std::vector<std::string> folders{};  // by pipeline; empty where it is done
    std::string problem{};               // not empty: it cannot join
  };

  // Pipelines that are taken in: workers load them, then all come to rest for a new plan.
  struct Adding {
    Addition addition;
    Clock::TimePoint deadline;                  // of loading
    std::map<PeerId, wire::Extended> loaded{};  // by worker
    std::string problem{};                      // not empty: they cannot be taken in
    bool is_loaded = false;                     // by all
  };

  Status run_all();
  Status await_workers(bool Member::*flag, std::chrono::milliseconds timeout, const std::string& what);
  wire::ToWorker start_message(const std::vector<std::string>& folders) const;
  Status start_workers();
  Status send_to_living(const wire::ToWorker& message);
  Status send_members();
  Status receive_all(std::chrono::milliseconds wait);
  Status handle(PeerId from, const wire::FromWorker& message);
  Status check_sender(PeerId from, std::uint64_t node) const;
  Status on_quiesced(PeerId from, std::uint64_t epoch);
  Status on_ready(PeerId from, const wire::Ready& ready);
  Status on_trajectory(const wire::TrajectoryDone& done);
  Status on_entered(const wire::RolloutEntered& entered);
  // Merging tails, in scheduler/controller_merges.cpp.
  Status merge(const MergeChoice& choice);
  Status on_progress(const wire::RolloutProgress& progress);
  Status on_moved(const wire::RolloutsMoved& moved);
  void observe_completions(int pipeline, std::int64_t step);
  Status on_summed(const wire::UpdateSummed& summed);
  Status on_node_done(const wire::NodeDone& done);
  Status on_checkpoint_done(const Dispatched& dispatched, const wire::NodeDone& done);
  // `worker` did it; while workers come to rest the plan may still count one that is lost.
  Ran finish_node(NodeRef ref, PeerId worker, double busy_s);
  // In scheduler/controller_learning.cpp.
  History make_history(int pipeline) const;
  void learn(const Dispatched& ended);
  double expected_work(NodeRef ref);
  const std::vector<std::uint32_t>& rollout_samples(NodeRef ref) const;
  StepState& step_state(int pipeline, std::int64_t step);
  Status finish_step(int pipeline);
  Status report_step(int pipeline, std::int64_t step);
  Status schedule();
  void explain(const Decision& decision);
  Status reshare(const ShareChange& change);
  Status dispatch(const DispatchChoice& choice);
  Status fill_work(NodeRef ref, wire::Dispatch& dispatch);
  // Who computes which slot of an update, in scheduler/controller_updates.cpp.
  const UpdateShares& share_out(NodeRef update, const wire::UpdateWork& work);
  double others_on(PeerId worker) const;
  void expect_shares(NodeRef update, const UpdateShares& shares);
  static TokenSums trained_by(const UpdateShares& shares, PeerId worker);
  void observe_training(int pipeline, PeerId worker, double busy_s);
  // Optimizer updates made before a step's first one, and before those whose weights its rollout uses.
  std::int64_t version_before(int pipeline, std::int64_t step) const;
  std::int64_t rollout_version(int pipeline, std::int64_t step) const;
  // While stopping: whether the weights of the running step, or those of a rollout after it, are changing already; and
  // whether they are and the running step cannot end without this node.
  bool is_committed(int pipeline) const;
  bool ends_committed_step(NodeRef ref) const;
  Status dispatch_last_syncs();
  Status send_dispatch(wire::ToWorker& message, const Dispatched& dispatched);
  wire::CheckpointWork checkpoint_work(int pipeline, std::int64_t step) const;
  void begin_stopping(int pipeline);
  // What `jigsaw ctl` asks for, in scheduler/controller_commands.cpp.
  Status serve_control();
  wire::ControlReply answer(const wire::ControlRequest& request);
  Result<int> pipeline_named(const std::string& name) const;
  std::string status_json() const;
  // Workers that join, in scheduler/controller_joins.cpp.
  Result<wire::ControlReply::Joined> begin_join(const std::string& public_key);
  Status go_on_joining();
  Status save_for_joining();
  void on_saved_for_joining(const wire::NodeDone& done);
  void go_on_joining_after_loss();
  Status start_joining();
  Status on_joining_ready(PeerId from, const wire::Ready& ready);
  Status finish_joining();
  Status give_up_joining(const std::string& reason);
  void remove_joining_folder();
  // Pipelines that are added, in scheduler/controller_additions.cpp.
  Status begin_add(const std::string& yaml, const std::string& file);
  Status on_extended(PeerId from, const wire::Extended& extended);
  Status go_on_adding();
  void check_first_weights(PeerId worker);
  Status give_up_adding();
  Status take_in_added();
  void set_capacity();
  ModelCost measured_cost(const std::string& name) const;
  void pause_as_wanted();
  std::filesystem::path joining_root() const { return options_.checkpoint_root.parent_path() / "joining"; }
  Status cancel(int pipeline);
  Status stop_drained_pipelines();  // of those that are stopping
  Status send(PeerId to, const wire::ToWorker& message);
  PeerId peer_of(int worker) const { return living_[static_cast<std::size_t>(worker) - 1]; }
  // Losses of workers, in scheduler/controller_losses.cpp.
  Status notice_losses();
  Status lose(PeerId worker, const std::string& reason);
  std::string work_of(PeerId worker) const;  // what it was sent and has not finished, for people
  Status quiesce();
  Status go_on_when_quiet();
  void make_plan_for_living();
  bool was_done(NodeRef ref);
  void tick();
  bool waits_for_people() const;
  std::string stall_report() const;
  RunSummary summarize() const;

  std::vector<PipelineSpec> specs_;
  std::vector<StartPoint> start_points_;
  ControllerOptions options_;
  std::unique_ptr<Policy> policy_;
  Transport& transport_;
  RunObserver& observer_;
  const Clock& clock_;

  Plan plan_;
  Capacity capacity_;
  CoRuns co_runs_;                        // refines capacity_.slowdown
  std::vector<ModelCost> costs_;          // by pipeline; empty where nothing was measured
  std::map<NodeRef, std::string> waits_;  // ready nodes that the policy holds back, and why: as logged last
  std::vector<PipelineRun> pipelines_;
  Members members_;
  std::vector<PeerId> living_;                      // workers of the plan: its worker 1 first
  std::map<std::uint64_t, Dispatched> dispatched_;  // by the id that the worker was sent
  std::uint64_t next_dispatch_ = 1;
  std::uint64_t epoch_ = 0;  // of the members
  bool has_begun_ = false;   // all workers are ready
  std::string awaited_;      // before that: who is to do what
  bool is_quiescing_ = false;
  Clock::TimePoint quiesce_deadline_;
  Clock::TimePoint begin_, last_progress_, last_tick_, last_ping_, last_decision_;
  std::int64_t decided_revision_ = -1;  // of the plan, at the last decision
  double busy_s_ = 0;                   // of all workers
  std::int64_t num_moved_ = 0;          // samples
  bool has_news_ = false;               // of tails that could merge
  std::vector<double> decision_us_;
  bool stopping_ = false;  // all pipelines
  std::optional<Joining> joining_;
  std::optional<Adding> adding_;
  std::map<std::string, std::string> not_added_;  // pipelines that could not be, and why
};

}  // namespace jigsaw
