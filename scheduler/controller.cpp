#include "scheduler/controller.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "core/check.h"
#include "core/log.h"

namespace jigsaw {
namespace {

constexpr std::chrono::milliseconds kReceiveWait{20};
constexpr std::chrono::milliseconds kTickEvery{100};
constexpr std::chrono::seconds kStallReportAfter{30};
constexpr int kMessagesPerRound = 256;  // handled before the policy is asked again

double percentile(std::vector<double> values, double share) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(share * static_cast<double>(values.size() - 1))];
}

double seconds(Clock::TimePoint begin, Clock::TimePoint end) {
  return std::chrono::duration<double>(end - begin).count();
}

}  // namespace

Controller::Controller(std::vector<PipelineSpec> specs, std::vector<StartPoint> start_points, ControllerOptions options,
                       std::unique_ptr<Policy> policy, Transport& transport, RunObserver& observer, const Clock& clock)
    : specs_(std::move(specs)),
      start_points_(std::move(start_points)),
      options_(std::move(options)),
      policy_(std::move(policy)),
      transport_(transport),
      observer_(observer),
      clock_(clock),
      plan_(
          specs_,
          [&] {
            std::vector<std::int64_t> first_steps;
            for (const StartPoint& start : start_points_) first_steps.push_back(start.step + 1);
            return first_steps;
          }(),
          options_.num_workers),
      pipelines_(specs_.size()),
      workers_(static_cast<std::size_t>(options_.num_workers) + 1) {
  CHECK(start_points_.size() == specs_.size());
}

Result<RunSummary> Controller::run() {
  begin_ = last_progress_ = last_tick_ = clock_.now();
  const Status status = run_all();
  wire::ToWorker shutdown;
  shutdown.mutable_shutdown();
  for (PeerId worker = 1; worker < workers_.size(); ++worker) {
    if (workers_[worker].hello) (void)send(worker, shutdown);  // a lost worker is no further news
  }
  if (!status.ok()) return status.error();
  return summarize();
}

Status Controller::run_all() {
  JIGSAW_RETURN_IF_ERROR(await_workers(&Worker::hello, options_.worker_timeout, "to connect"));
  JIGSAW_RETURN_IF_ERROR(start_workers());
  JIGSAW_RETURN_IF_ERROR(await_workers(&Worker::ready, options_.start_timeout, "to load the models"));
  begin_ = clock_.now();
  for (int pipeline = 0; pipeline < plan_.num_pipelines(); ++pipeline) {
    if (!plan_.done(pipeline)) begin_step(pipeline);
  }
  while (!plan_.all_done()) {
    if (!stopping_ && options_.stop != nullptr && options_.stop->load()) JIGSAW_RETURN_IF_ERROR(begin_stopping());
    if (stopping_) JIGSAW_RETURN_IF_ERROR(stop_drained_pipelines());
    JIGSAW_RETURN_IF_ERROR(schedule());
    JIGSAW_RETURN_IF_ERROR(receive_all(kReceiveWait));
    JIGSAW_RETURN_IF_ERROR(check_silence());
    tick();
  }
  return ok_status();
}

Status Controller::await_workers(bool Worker::*flag, std::chrono::milliseconds timeout, const std::string& what) {
  const Clock::TimePoint deadline = clock_.now() + timeout;
  const auto missing = [&] {
    std::string names;
    for (std::size_t worker = 1; worker < workers_.size(); ++worker) {
      if (!(workers_[worker].*flag)) names += (names.empty() ? "worker " : ", worker ") + std::to_string(worker);
    }
    return names;
  };
  while (!missing().empty()) {
    if (clock_.now() >= deadline) {
      return Error(ErrorCode::kTimeout,
                   "waited " + std::to_string(timeout.count() / 1000) + " s for " + missing() + " " + what);
    }
    if (options_.stop != nullptr && options_.stop->load())
      return Error(ErrorCode::kCancelled, "stopped before the first step");
    JIGSAW_RETURN_IF_ERROR(receive_all(kReceiveWait));
    tick();
  }
  return ok_status();
}

Status Controller::start_workers() {
  wire::ToWorker message;
  wire::Start& start = *message.mutable_start();
  start.set_job_yaml(options_.job_yaml);
  start.set_job_name(options_.job_name);
  start.set_num_workers(static_cast<std::uint32_t>(options_.num_workers));
  for (const StartPoint& point : start_points_) start.add_resume_folder(point.folder);
  for (PeerId worker = 1; worker < workers_.size(); ++worker) JIGSAW_RETURN_IF_ERROR(send(worker, message));
  return ok_status();
}

Status Controller::receive_all(std::chrono::milliseconds wait) {
  for (int i = 0; i < kMessagesPerRound; ++i) {
    JIGSAW_ASSIGN_OR_RETURN(std::optional<ReceivedMessage> received,
                            transport_.receive(i == 0 ? wait : std::chrono::milliseconds(0)));
    if (!received) break;
    wire::FromWorker message;
    if (received->from == 0 || received->from >= workers_.size() || !message.ParseFromString(received->bytes)) {
      return Error(ErrorCode::kCorrupt, "worker " + std::to_string(received->from) + " sent bytes that are no message");
    }
    JIGSAW_RETURN_IF_ERROR(handle(received->from, message));
  }
  return ok_status();
}

Status Controller::handle(PeerId from, const wire::FromWorker& message) {
  Worker& worker = workers_[from];
  worker.last_heard = clock_.now();
  if (!message.has_heartbeat()) last_progress_ = worker.last_heard;
  const auto named = [&](Status status) -> Status {
    if (status.ok()) return status;
    return status.error().with_context("worker " + std::to_string(from));
  };
  switch (message.message_case()) {
    case wire::FromWorker::kHello:
      worker.hello = true;
      log_info("worker.connected", "worker={} pid={} threads={}", from, message.hello().process(),
               message.hello().num_threads());
      return ok_status();
    case wire::FromWorker::kReady: return named(on_ready(message.ready(), worker));
    case wire::FromWorker::kTrajectory: return named(on_trajectory(message.trajectory()));
    case wire::FromWorker::kNodeDone: return named(on_node_done(message.node_done()));
    case wire::FromWorker::kFailed: return named(Error(ErrorCode::kInternal, message.failed().message()));
    case wire::FromWorker::kHeartbeat: worker.waiting_for = message.heartbeat().waiting_for(); return ok_status();
    case wire::FromWorker::MESSAGE_NOT_SET: break;
  }
  return named(Error(ErrorCode::kCorrupt, "sent an empty message"));
}

Status Controller::on_ready(const wire::Ready& ready, Worker& worker) {
  if (ready.weights_hash_size() != plan_.num_pipelines() || ready.policy_version_size() != plan_.num_pipelines()) {
    return Error(ErrorCode::kCorrupt, "knows another number of pipelines");
  }
  for (int pipeline = 0; pipeline < plan_.num_pipelines(); ++pipeline) {
    PipelineRun& run = pipelines_[static_cast<std::size_t>(pipeline)];
    if (!run.totals.weights_hash.empty() && run.totals.weights_hash != ready.weights_hash(pipeline)) {
      return Error(ErrorCode::kInternal, "has other first weights of pipeline '" +
                                             specs_[static_cast<std::size_t>(pipeline)].name +
                                             "' than another worker: do all machines see the same model files?");
    }
    run.totals.weights_hash = ready.weights_hash(pipeline);
    run.totals.policy_version = ready.policy_version(pipeline);
    run.checkpointed_step = start_points_[static_cast<std::size_t>(pipeline)].step;
  }
  worker.ready = true;
  return ok_status();
}

Status Controller::on_trajectory(const wire::TrajectoryDone& done) {
  const auto dispatched = dispatched_.find(done.node());
  if (dispatched == dispatched_.end())
    return Error(ErrorCode::kCorrupt, "sent a sample of a sub-stage that is not running");
  const int pipeline = dispatched->second.ref.pipeline;
  StepState& step = pipelines_[static_cast<std::size_t>(pipeline)].step;
  JIGSAW_RETURN_IF_ERROR(step.add_trajectory(done.trajectory()));
  observer_.on_sample(pipeline, plan_.step(pipeline), step.num_trajectories(), plan_.spec(pipeline).samples_per_step());
  return ok_status();
}

Status Controller::on_node_done(const wire::NodeDone& done) {
  const auto found = dispatched_.find(done.node());
  if (found == dispatched_.end()) return Error(ErrorCode::kCorrupt, "finished a sub-stage that is not running");
  const Dispatched dispatched = found->second;
  dispatched_.erase(found);
  busy_s_ += done.busy_s();
  if (dispatched.checkpoint) {
    JIGSAW_RETURN_IF_ERROR(on_checkpoint_done(dispatched, done));
    if (!dispatched.in_plan) {
      plan_.stop(dispatched.ref.pipeline);
      return ok_status();
    }
  }
  if (done.cancelled()) return ok_status();
  const NodeRef ref = dispatched.ref;
  StepState& step = pipelines_[static_cast<std::size_t>(ref.pipeline)].step;
  const Node& node = plan_.graph(ref.pipeline).node(ref.node);
  log_info("stage.done", "pipeline={} step={} stage={} busy_s={:.3f}", plan_.spec(ref.pipeline).name,
           plan_.step(ref.pipeline), to_string(node), done.busy_s());
  if (node.kind == SubStageKind::kLogprob) {
    for (const wire::Trajectory& scored : done.trajectories()) JIGSAW_RETURN_IF_ERROR(step.add_reference(scored));
  }
  if (node.kind == SubStageKind::kUpdate) JIGSAW_RETURN_IF_ERROR(step.add_update(node.update, done.update()));
  step.add_node(node, done, clock_.now());
  plan_.finish(ref);
  return plan_.step_finished(ref.pipeline) ? finish_step(ref.pipeline) : ok_status();
}

Status Controller::on_checkpoint_done(const Dispatched& dispatched, const wire::NodeDone& done) {
  const int pipeline = dispatched.ref.pipeline;
  if (!done.warning().empty()) {
    log_error("checkpoint.failed", "pipeline={} step={} error=\"{}\" (the checkpoint before it is kept)",
              plan_.spec(pipeline).name, dispatched.step, done.warning());
    return ok_status();
  }
  pipelines_[static_cast<std::size_t>(pipeline)].checkpointed_step = dispatched.step;
  log_info("checkpoint.written", "pipeline={} step={} folder={}", plan_.spec(pipeline).name, dispatched.step,
           dispatched.folder);
  return observer_.on_checkpoint(pipeline, dispatched.step, dispatched.folder);
}

Status Controller::finish_step(int pipeline) {
  PipelineRun& run = pipelines_[static_cast<std::size_t>(pipeline)];
  const StepReport report = run.step.report(plan_.spec(pipeline), clock_.now());
  run.totals.add(report);
  JIGSAW_RETURN_IF_ERROR(observer_.on_step(report));
  plan_.advance(pipeline);
  if (!plan_.done(pipeline)) begin_step(pipeline);
  return ok_status();
}

void Controller::begin_step(int pipeline) {
  pipelines_[static_cast<std::size_t>(pipeline)].step.begin(pipeline, plan_.spec(pipeline), plan_.step(pipeline),
                                                            clock_.now());
}

Status Controller::schedule() {
  const auto begin = std::chrono::steady_clock::now();
  const std::vector<DispatchChoice> choices = policy_->choose(plan_, Capacity{options_.num_workers}, clock_.now());
  const auto took = std::chrono::steady_clock::now() - begin;
  if (choices.empty()) return ok_status();
  decision_us_.push_back(std::chrono::duration<double, std::micro>(took).count());
  for (const DispatchChoice& choice : choices) {
    // While stopping, only steps that have begun to change the weights are taken to their end.
    if (stopping_ && !plan_.kind_started(choice.node.pipeline, SubStageKind::kUpdate)) continue;
    JIGSAW_RETURN_IF_ERROR(dispatch(choice));
  }
  return ok_status();
}

Status Controller::dispatch(const DispatchChoice& choice) {
  const NodeRef ref = choice.node;
  const PipelineSpec& spec = plan_.spec(ref.pipeline);
  const Node& node = plan_.graph(ref.pipeline).node(ref.node);
  const PipelineRun& run = pipelines_[static_cast<std::size_t>(ref.pipeline)];
  wire::ToWorker message;
  wire::Dispatch& dispatch = *message.mutable_dispatch();
  Dispatched dispatched{
      .ref = ref, .step = plan_.step(ref.pipeline), .in_plan = true, .checkpoint = false, .folder = ""};
  switch (node.kind) {
    case SubStageKind::kRollout:
      dispatch.mutable_rollout()->set_policy_version(run.totals.policy_version);
      for (const std::uint32_t sample : node.samples) dispatch.mutable_rollout()->add_samples(sample);
      break;
    case SubStageKind::kLogprob:
      for (const std::uint32_t sample : node.samples) {
        *dispatch.mutable_logprob()->add_trajectories() = run.step.trajectory(sample);
      }
      break;
    case SubStageKind::kUpdate: {
      wire::UpdateWork& work = *dispatch.mutable_update();
      work.set_update(run.totals.policy_version + node.update);
      const auto [begin, end] = update_samples(spec, node.update);
      for (std::uint32_t sample = begin; sample < end; ++sample) *work.add_trajectories() = run.step.trajectory(sample);
      for (const std::uint32_t owner : slot_owners(spec.grad_slots, options_.num_workers)) work.add_slot_owner(owner);
      break;
    }
    case SubStageKind::kCheckpoint:
      dispatched.checkpoint = true;
      *dispatch.mutable_checkpoint() = checkpoint_work(ref.pipeline, dispatched.step);
      dispatched.folder = dispatch.checkpoint().folder();
      break;
  }
  dispatch.set_pipeline(static_cast<std::uint32_t>(ref.pipeline));
  dispatch.set_step(dispatched.step);
  dispatch.set_share(choice.share);
  plan_.start(ref);
  log_info("stage.dispatched", "pipeline={} step={} stage={} share={} reason=\"{}\"", spec.name, dispatched.step,
           to_string(node), choice.share, choice.reason);
  return send_dispatch(static_cast<PeerId>(node.worker), message, dispatched);
}

Status Controller::send_dispatch(PeerId worker, wire::ToWorker& message, const Dispatched& dispatched) {
  message.mutable_dispatch()->set_node(next_dispatch_);
  dispatched_[next_dispatch_++] = dispatched;
  return send(worker, message);
}

wire::CheckpointWork Controller::checkpoint_work(int pipeline, std::int64_t step) const {
  char folder[32];
  std::snprintf(folder, sizeof folder, "step-%08lld", static_cast<long long>(step));
  wire::CheckpointWork work;
  const PipelineSpec& spec = specs_[static_cast<std::size_t>(pipeline)];
  work.set_folder((options_.checkpoint_root / spec.name / folder).string());
  // The worker adds the policy version and the weights' hash.
  work.set_state_json(nlohmann::json{{"pipeline", spec.name}, {"step", step}, {"steps", spec.steps}}.dump());
  return work;
}

Status Controller::begin_stopping() {
  stopping_ = true;
  log_info("run.stopping", "steps under way are dropped, or finished where the weights are changing already");
  for (int pipeline = 0; pipeline < plan_.num_pipelines(); ++pipeline) {
    if (plan_.done(pipeline) || plan_.kind_started(pipeline, SubStageKind::kUpdate)) continue;
    wire::ToWorker message;
    message.mutable_cancel()->set_pipeline(static_cast<std::uint32_t>(pipeline));
    for (PeerId worker = 1; worker < workers_.size(); ++worker) JIGSAW_RETURN_IF_ERROR(send(worker, message));
  }
  return ok_status();
}

Status Controller::stop_drained_pipelines() {
  for (int pipeline = 0; pipeline < plan_.num_pipelines(); ++pipeline) {
    const bool busy = std::any_of(dispatched_.begin(), dispatched_.end(),
                                  [&](const auto& entry) { return entry.second.ref.pipeline == pipeline; });
    if (plan_.done(pipeline) || busy || plan_.kind_started(pipeline, SubStageKind::kUpdate)) continue;
    const std::int64_t steps_done = plan_.step(pipeline) - 1;
    if (steps_done <= pipelines_[static_cast<std::size_t>(pipeline)].checkpointed_step) {
      plan_.stop(pipeline);
      continue;
    }
    wire::ToWorker message;
    wire::Dispatch& dispatch = *message.mutable_dispatch();
    *dispatch.mutable_checkpoint() = checkpoint_work(pipeline, steps_done);
    dispatch.set_pipeline(static_cast<std::uint32_t>(pipeline));
    dispatch.set_step(steps_done);
    dispatch.set_share(1);
    JIGSAW_RETURN_IF_ERROR(send_dispatch(1, message,
                                         {.ref = {.pipeline = pipeline, .node = 0},
                                          .step = steps_done,
                                          .in_plan = false,
                                          .checkpoint = true,
                                          .folder = dispatch.checkpoint().folder()}));
  }
  return ok_status();
}

Status Controller::send(PeerId to, const wire::ToWorker& message) {
  return transport_.send(to, message.SerializeAsString());
}

Status Controller::check_silence() const {
  for (std::size_t worker = 1; worker < workers_.size(); ++worker) {
    const auto silent = clock_.now() - workers_[worker].last_heard;
    if (silent > options_.worker_timeout) {
      return Error(ErrorCode::kUnavailable,
                   "worker " + std::to_string(worker) + " has been silent for " +
                       std::to_string(std::chrono::duration_cast<std::chrono::seconds>(silent).count()) +
                       " s (worker_timeout_s); " + stall_report() +
                       "Run again with --resume to go on from the last checkpoint.");
    }
  }
  return ok_status();
}

void Controller::tick() {
  const Clock::TimePoint now = clock_.now();
  if (now - last_progress_ > kStallReportAfter) {
    log_warning("run.stalled", "nothing finished for {:.0f} s; {}", seconds(last_progress_, now), stall_report());
    last_progress_ = now;
  }
  if (now - last_tick_ < kTickEvery) return;
  last_tick_ = now;
  observer_.on_tick();
}

std::string Controller::stall_report() const {
  std::string report;
  for (int pipeline = 0; pipeline < plan_.num_pipelines(); ++pipeline) {
    const std::string waiting_for = plan_.waiting_for(pipeline);
    if (!waiting_for.empty()) report += "pipeline '" + plan_.spec(pipeline).name + "' waits for " + waiting_for + "; ";
  }
  for (std::size_t worker = 1; worker < workers_.size(); ++worker) {
    if (!workers_[worker].waiting_for.empty()) {
      report += "worker " + std::to_string(worker) + " waits for " + workers_[worker].waiting_for + "; ";
    }
  }
  return report;
}

RunSummary Controller::summarize() const {
  RunSummary summary;
  summary.policy = std::string(policy_->name());
  summary.wall_s = seconds(begin_, clock_.now());
  for (std::size_t pipeline = 0; pipeline < pipelines_.size(); ++pipeline) {
    const PipelineTotals& totals = pipelines_[pipeline].totals;
    summary.pipelines.push_back(totals.summary(specs_[pipeline].name));
    summary.tokens += totals.tokens;
    summary.recomputed_tokens += totals.recomputed_tokens;
  }
  if (summary.wall_s > 0) {
    summary.tokens_per_s = static_cast<double>(summary.tokens) / summary.wall_s;
    summary.worker_busy_share = busy_s_ / (summary.wall_s * options_.num_workers);
  }
  summary.decisions = static_cast<std::int64_t>(decision_us_.size());
  summary.decision_us_p50 = percentile(decision_us_, 0.50);
  summary.decision_us_p99 = percentile(decision_us_, 0.99);
  summary.interrupted = stopping_;
  return summary;
}

}  // namespace jigsaw
