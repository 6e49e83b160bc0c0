// The controller: one loop over worker messages, one Plan, one policy. It knows samples, steps and barriers, and
// nothing of models or algorithms. Everything runs on the thread that calls run().
//
// Queues: the transport's inbox (workers fill, this loop drains; bound kQueuedMessagesMax, then workers' sends fail and
// they stop with that reason); trajectories of the running step of each pipeline (bound: samples_per_step).
// Waits: receive() (20 ms); Hello and Ready of every worker, and a silent worker (worker_timeout, named in the error).
#pragma once

#include <atomic>
#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/clock.h"
#include "core/result.h"
#include "core/transport/transport.h"
#include "core/wire/messages.pb.h"
#include "scheduler/plan.h"
#include "scheduler/policy.h"
#include "scheduler/run_observer.h"
#include "scheduler/run_summary.h"
#include "scheduler/step_state.h"

namespace jigsaw {

// Where a pipeline starts from.
struct StartPoint {
  std::int64_t step = 0;  // steps done
  std::string folder;     // checkpoint to load; empty = the model of the job file
};

struct ControllerOptions {
  std::string job_yaml, job_name;
  int num_workers = 1;
  std::filesystem::path checkpoint_root;  // checkpoints go to <root>/<pipeline>/step-00000010
  std::chrono::milliseconds worker_timeout{60000};
  std::chrono::milliseconds start_timeout{600000};  // loading models
  const std::atomic<bool>* stop = nullptr;          // becomes true when the run is to end with a checkpoint
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
  struct Worker {
    bool hello = false, ready = false;
    Clock::TimePoint last_heard;
    std::string waiting_for;
  };
  struct PipelineRun {
    StepState step;                      // the running step
    PipelineTotals totals;               // of the steps before it
    std::int64_t checkpointed_step = 0;  // newest step that a checkpoint holds
  };
  // A sub-stage that a worker was sent and has not finished.
  struct Dispatched {
    NodeRef ref;
    std::int64_t step = 0;
    bool in_plan = true;  // false: the checkpoint written while stopping
    bool checkpoint = false;
    std::string folder;  // of the checkpoint
  };

  Status run_all();
  Status await_workers(bool Worker::*flag, std::chrono::milliseconds timeout, const std::string& what);
  Status start_workers();
  Status receive_all(std::chrono::milliseconds wait);
  Status handle(PeerId from, const wire::FromWorker& message);
  Status on_ready(const wire::Ready& ready, Worker& worker);
  Status on_trajectory(const wire::TrajectoryDone& done);
  Status on_node_done(const wire::NodeDone& done);
  Status on_checkpoint_done(const Dispatched& dispatched, const wire::NodeDone& done);
  void begin_step(int pipeline);
  Status finish_step(int pipeline);
  Status schedule();
  Status dispatch(const DispatchChoice& choice);
  Status send_dispatch(PeerId worker, wire::ToWorker& message, const Dispatched& dispatched);
  wire::CheckpointWork checkpoint_work(int pipeline, std::int64_t step) const;
  Status begin_stopping();
  Status stop_drained_pipelines();
  Status send(PeerId to, const wire::ToWorker& message);
  Status check_silence() const;
  void tick();
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
  std::vector<PipelineRun> pipelines_;
  std::vector<Worker> workers_;                     // [0] unused
  std::map<std::uint64_t, Dispatched> dispatched_;  // by the id that the worker was sent
  std::uint64_t next_dispatch_ = 1;
  Clock::TimePoint begin_, last_progress_, last_tick_;
  double busy_s_ = 0;  // of all workers
  std::vector<double> decision_us_;
  bool stopping_ = false;
};

}  // namespace jigsaw
