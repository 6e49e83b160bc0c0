// The part of the controller that takes in workers while the run goes on (scheduler/controller.h). All pipelines come
// to the end of the steps they are in; the new worker loads their state from checkpoints made for it; then a new plan
// is made, as after a loss. What is trained is the same, whoever joins, and when.
#include <algorithm>
#include <filesystem>

#include "core/log.h"
#include "scheduler/controller.h"

namespace jigsaw {

// Those that the user has paused, and all while somebody joins: from the moment that their state is saved, those that
// are stopping as well, so that it stays what was saved.
void Controller::pause_as_wanted() {
  const bool all = joining_ && joining_->phase != JoinPhase::kConnecting;
  const bool stopping_too = all && joining_->phase != JoinPhase::kPausing;
  for (int pipeline = 0; pipeline < plan_.num_pipelines(); ++pipeline) {
    const PipelineRun& run = pipelines_[static_cast<std::size_t>(pipeline)];
    plan_.set_paused(pipeline, run.is_stopping ? stopping_too : all || run.is_paused, clock_.now());
  }
}

Result<wire::ControlReply::Joined> Controller::begin_join(const std::string& public_key) {
  if (!options_.admit) return Error(ErrorCode::kUnsupported, "no worker can join a run in one process (--workers 0)");
  if (stopping_) return Error(ErrorCode::kUnavailable, "the run is about to end");
  if (adding_) return Error(ErrorCode::kUnavailable, "pipelines are being added; try again when they are in");
  if (joining_) {
    return Error(ErrorCode::kUnavailable,
                 "worker " + std::to_string(joining_->worker) + " is joining; try again when it is in");
  }
  const PeerId worker = members_.add_joining();
  auto joined = options_.admit(worker, public_key);
  if (!joined.ok()) {
    members_.lose(worker);
    return joined.error();
  }
  joining_ = Joining{.worker = worker, .deadline = clock_.now() + options_.worker_timeout};
  log_info("worker.joining", "worker={}", worker);
  return joined;
}

Status Controller::go_on_joining() {
  if (!joining_) return ok_status();
  const Member& member = members_.at(joining_->worker);
  if (!joining_->problem.empty()) return give_up_joining(joining_->problem);
  switch (joining_->phase) {
    case JoinPhase::kConnecting:
      if (member.hello) {
        joining_->phase = JoinPhase::kPausing;
        pause_as_wanted();
      } else if (clock_.now() > joining_->deadline) {
        return give_up_joining("it has not connected in time (worker_timeout_s)");
      }
      return ok_status();
    case JoinPhase::kPausing:
      if (!dispatched_.empty() || !plan_.ready().empty()) return ok_status();
      return save_for_joining();
    case JoinPhase::kSaving: return dispatched_.empty() ? start_joining() : ok_status();
    case JoinPhase::kLoading:
      if (member.ready) return finish_joining();
      if (clock_.now() > joining_->deadline) return give_up_joining("it has not loaded the models in time");
      return ok_status();
  }
  return ok_status();
}

void Controller::remove_joining_folder() {
  std::error_code error;
  std::filesystem::remove_all(joining_root(), error);
}

Status Controller::save_for_joining() {
  joining_->phase = JoinPhase::kSaving;
  pause_as_wanted();
  remove_joining_folder();
  for (int pipeline = 0; pipeline < plan_.num_pipelines(); ++pipeline) {
    std::string& folder = joining_->folders.emplace_back();
    if (plan_.done(pipeline)) continue;
    folder = (joining_root() / plan_.spec(pipeline).name).string();
    wire::ToWorker message;
    wire::Dispatch& dispatch = *message.mutable_dispatch();
    *dispatch.mutable_checkpoint() = checkpoint_work(pipeline, plan_.step(pipeline) - 1);
    dispatch.mutable_checkpoint()->set_folder(folder);
    dispatch.set_pipeline(static_cast<std::uint32_t>(pipeline));
    dispatch.set_step(plan_.step(pipeline) - 1);
    dispatch.set_share(1);
    Dispatched dispatched;
    dispatched.worker = peer_of(1);
    dispatched.ref = {.pipeline = pipeline, .step = plan_.step(pipeline), .node = 0};
    dispatched.in_plan = false;
    dispatched.for_joining = true;
    JIGSAW_RETURN_IF_ERROR(send_dispatch(message, dispatched));
  }
  return ok_status();
}

void Controller::on_saved_for_joining(const wire::NodeDone& done) {
  if (joining_ && joining_->phase == JoinPhase::kSaving) joining_->problem += done.warning();
}

// Checkpoints that were being written may be incomplete. Those that are being read are whole, and nothing has been
// trained since.
void Controller::go_on_joining_after_loss() {
  if (!joining_ || joining_->phase != JoinPhase::kSaving) return;
  joining_->phase = JoinPhase::kPausing;
  joining_->folders.clear();
  joining_->problem.clear();
  pause_as_wanted();
}

Status Controller::start_joining() {
  joining_->phase = JoinPhase::kLoading;
  joining_->deadline = clock_.now() + options_.start_timeout;
  return send(joining_->worker, start_message(joining_->folders));
}

Status Controller::on_joining_ready(PeerId from, const wire::Ready& ready) {
  if (!joining_ || joining_->worker != from || joining_->phase != JoinPhase::kLoading) {
    return Error(ErrorCode::kCorrupt, "is ready though nobody told it to start");
  }
  for (int pipeline = 0; pipeline < plan_.num_pipelines(); ++pipeline) {
    if (plan_.done(pipeline)) continue;
    PipelineRun& run = pipelines_[static_cast<std::size_t>(pipeline)];
    if (run.totals.weights_hash != ready.weights_hash(pipeline)) {
      joining_->problem = "it has other weights of pipeline '" + plan_.spec(pipeline).name +
                          "' than the other workers: does it run the same program?";
      return ok_status();
    }
    run.progress[from] = run.progress[peer_of(1)];
  }
  members_.at(from).ready = true;
  return ok_status();
}

Status Controller::finish_joining() {
  const PeerId worker = joining_->worker;
  members_.at(worker).joining = false;
  living_ = members_.living();
  joining_.reset();
  remove_joining_folder();
  log_info("worker.joined", "worker={}: going on with {}", worker, names_of(living_));
  return quiesce();
}

Status Controller::give_up_joining(const std::string& reason) {
  const PeerId worker = joining_->worker;
  log_warning("worker.not_joined", "worker={} reason=\"{}\"", worker, reason);
  wire::ToWorker shutdown;
  shutdown.mutable_shutdown()->set_reason(reason);
  (void)transport_.send(worker, shutdown.SerializeAsString());
  members_.lose(worker);
  joining_.reset();
  remove_joining_folder();
  pause_as_wanted();
  return ok_status();
}

}  // namespace jigsaw
