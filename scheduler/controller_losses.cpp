// The part of the controller that goes on without workers that are lost (scheduler/controller.h).
#include <algorithm>

#include "core/check.h"
#include "core/log.h"
#include "scheduler/controller.h"

namespace jigsaw {

Status Controller::notice_losses() {
  for (const PeerId worker : members_.living()) {
    const std::string reason = members_.reason_to_give_up(worker, clock_.now(), options_.worker_timeout);
    if (!reason.empty()) JIGSAW_RETURN_IF_ERROR(lose(worker, reason));
  }
  if (joining_) {
    const std::string reason = members_.reason_to_give_up(joining_->worker, clock_.now(), options_.worker_timeout);
    if (!reason.empty()) return give_up_joining(reason);
  }
  return ok_status();
}

Status Controller::lose(PeerId worker, const std::string& reason) {
  members_.lose(worker);
  living_ = members_.living();
  if (living_.empty()) {
    return Error(ErrorCode::kUnavailable, "worker " + std::to_string(worker) + " is lost: " + reason +
                                              "; no worker is left. Run again with --resume to go on from the last "
                                              "checkpoint.");
  }
  go_on_joining_after_loss();
  log_warning("worker.lost", "worker={} reason=\"{}\" doing=\"{}\": going on with {}", worker, reason, work_of(worker),
              names_of(living_));
  std::erase_if(dispatched_, [&](const auto& entry) { return entry.second.worker == worker; });
  return has_begun_ ? quiesce() : ok_status();
}

std::string Controller::work_of(PeerId worker) const {
  if (!has_begun_) return "loading models";
  std::string work;
  for (const auto& [id, dispatched] : dispatched_) {
    if (dispatched.worker != worker) continue;
    const bool is_node = dispatched.in_plan && !plan_.done(dispatched.ref.pipeline);
    const SubStageKind kind = is_node ? plan_.node(dispatched.ref).kind : SubStageKind::kCheckpoint;
    work += fmt::format("{}{} of {} step {}", work.empty() ? "" : ", ", to_string(kind),
                        plan_.spec(dispatched.ref.pipeline).name, dispatched.ref.step);
  }
  return work.empty() ? "nothing" : work;
}

// Everybody drops what is under way, each for itself and after its quantum: what is not done is handed out anew.
Status Controller::quiesce() {
  is_quiescing_ = true;
  ++epoch_;
  quiesce_deadline_ = clock_.now() + options_.worker_timeout;
  wire::ToWorker message;
  message.mutable_quiesce()->set_epoch(epoch_);
  JIGSAW_RETURN_IF_ERROR(send_members());
  return send_to_living(message);
}

// Whoever is at rest has told of all its sub-stages. An older epoch's answer comes late when workers are lost in a row.
Status Controller::on_quiesced(PeerId from, std::uint64_t epoch) {
  if (epoch < epoch_) return ok_status();
  const bool has_more =
      std::ranges::any_of(dispatched_, [&](const auto& entry) { return entry.second.worker == from; });
  if (epoch > epoch_ || !is_quiescing_ || has_more) {
    return Error(ErrorCode::kCorrupt, "says that it is at rest though it was not told to, or is not");
  }
  members_.at(from).quiesced = epoch;
  return ok_status();
}

Status Controller::go_on_when_quiet() {
  for (const PeerId worker : members_.living()) {
    if (members_.at(worker).quiesced == epoch_) continue;
    if (clock_.now() < quiesce_deadline_) return ok_status();
    return lose(worker, "it did not come to rest in time (worker_timeout_s)");
  }
  is_quiescing_ = false;
  CHECK(dispatched_.empty());
  JIGSAW_RETURN_IF_ERROR(take_in_added());
  make_plan_for_living();
  for (int pipeline = 0; pipeline < plan_.num_pipelines(); ++pipeline) {
    while (plan_.step_finished(pipeline)) JIGSAW_RETURN_IF_ERROR(finish_step(pipeline));
  }
  return ok_status();
}

void Controller::make_plan_for_living() {
  const Clock::TimePoint now = clock_.now();
  std::vector<std::int64_t> steps;
  std::vector<bool> is_done;
  std::vector<PipelineSpec> specs;
  for (int pipeline = 0; pipeline < plan_.num_pipelines(); ++pipeline) {
    steps.push_back(plan_.step(pipeline));
    is_done.push_back(plan_.done(pipeline));
    specs.push_back(plan_.spec(pipeline));
  }
  for (std::size_t added = specs.size(); added < specs_.size(); ++added) {
    steps.push_back(1);
    is_done.push_back(false);
    specs.push_back(specs_[added]);
  }
  plan_ = Plan(std::move(specs), steps, static_cast<int>(living_.size()));
  capacity_.num_workers = plan_.num_workers();
  co_runs_.restart(plan_.num_workers());
  decided_revision_ = -1;
  waits_.clear();
  for (int pipeline = 0; pipeline < plan_.num_pipelines(); ++pipeline) {
    PipelineRun& run = pipelines_[static_cast<std::size_t>(pipeline)];
    if (is_done[static_cast<std::size_t>(pipeline)]) {
      plan_.stop(pipeline);
      continue;
    }
    // They tell of other nodes.
    run.history = make_history(pipeline);
    run.moved.clear();
    run.work_scale = WorkScale();
    run.learns_from_step = plan_.window(pipeline).last_step() + 1;
    plan_.skip_done(
        pipeline, [this](NodeRef ref) { return was_done(ref); }, now);
    for (auto& [step, state] : run.steps) {
      for (int update = 0; update < plan_.spec(pipeline).updates_per_step; ++update) {
        const std::int64_t version = version_before(pipeline, step) + update + 1;
        const bool all_applied =
            std::ranges::all_of(living_, [&](PeerId worker) { return run.progress[worker].version >= version; });
        if (!all_applied) state.restart_update(update);
      }
    }
  }
  pause_as_wanted();
}

// Whether what this node is for has been done before the plan was made: by this worker, or in the controller's hands.
bool Controller::was_done(NodeRef ref) {
  PipelineRun& run = pipelines_[static_cast<std::size_t>(ref.pipeline)];
  const Node& node = plan_.node(ref);
  const Progress& progress = run.progress[peer_of(node.worker)];
  const auto state = run.steps.find(ref.step);
  const auto all_samples = [&](bool (StepState::*has)(std::uint32_t) const) {
    return state != run.steps.end() &&
           std::ranges::all_of(node.samples, [&](std::uint32_t sample) { return (state->second.*has)(sample); });
  };
  switch (node.kind) {
    case SubStageKind::kSync: return progress.synced_step >= ref.step;
    case SubStageKind::kPrefill: return all_samples(&StepState::has_trajectory);
    case SubStageKind::kLogprob: return all_samples(&StepState::has_reference);
    case SubStageKind::kUpdate: return progress.version > version_before(ref.pipeline, ref.step) + node.update;
    case SubStageKind::kCheckpoint: return run.checkpointed_step >= ref.step;
    case SubStageKind::kDecodeBulk:
    case SubStageKind::kDecodeTail:
    case SubStageKind::kTool:
    case SubStageKind::kReward: break;
  }
  CHECK_FAILED(to_string(node) + " is come to without a dispatch");
}

}  // namespace jigsaw
