#include "scheduler/controller.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "core/check.h"
#include "core/log.h"

namespace jigsaw {
namespace {

constexpr std::chrono::milliseconds kReceiveWait{20};
constexpr std::chrono::milliseconds kTickEvery{100};
constexpr std::chrono::seconds kPingEvery{1};
constexpr std::chrono::seconds kStallReportAfter{30};
constexpr std::chrono::milliseconds kAskAgainAfter{500};  // while the policy holds something back
constexpr int kMessagesPerRound = 256;                    // handled before the policy is asked again

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
      co_runs_(capacity_.slowdown, options_.num_workers),
      pipelines_(specs_.size()),
      members_(options_.num_workers),
      living_(members_.living()) {
  CHECK(start_points_.size() == specs_.size());
  capacity_.num_workers = options_.num_workers;
  capacity_.splits = {0.05, 0.25, 0.5, 0.75, 0.95};
  capacity_.is_work_conserving = true;
  capacity_.slowdown = options_.slowdown;
  capacity_.can_merge = options_.can_merge;
  for (const PipelineSpec& spec : specs_) costs_.push_back(measured_cost(spec.name));
  for (int pipeline = 0; pipeline < plan_.num_pipelines(); ++pipeline) {
    pipelines_[static_cast<std::size_t>(pipeline)].history = make_history(pipeline);
  }
  set_capacity();
}

// What follows from which pipelines there are.
void Controller::set_capacity() {
  // Time slices on a CPU cost nothing, and whoever waits for peers gives way.
  capacity_.corun_max = std::max(capacity_.corun_max, static_cast<int>(specs_.size()));
  std::vector<MemoryNeeds> needs;
  for (const PipelineSpec& spec : specs_) needs.push_back(spec.memory);
  capacity_.memory = MemoryLedger(std::move(needs), options_.memory_bytes_per_worker);
}

ModelCost Controller::measured_cost(const std::string& name) const {
  const auto measured = options_.costs.find(name);
  return measured == options_.costs.end() ? ModelCost() : measured->second;
}

Result<RunSummary> Controller::run() {
  begin_ = last_progress_ = last_tick_ = clock_.now();
  const Status status = run_all();
  remove_joining_folder();
  wire::ToWorker shutdown;
  shutdown.mutable_shutdown();
  for (PeerId worker = 1; members_.has(worker); ++worker) {
    if (members_.at(worker).hello) (void)transport_.send(worker, shutdown.SerializeAsString());  // a lost one, too
  }
  if (!status.ok()) return status.error();
  return summarize();
}

Status Controller::run_all() {
  std::vector<std::string> names;
  for (const PipelineSpec& spec : specs_) names.push_back(spec.name);
  JIGSAW_RETURN_IF_ERROR(capacity_.memory.admit(names));
  JIGSAW_RETURN_IF_ERROR(await_workers(&Member::hello, options_.worker_timeout, "to connect"));
  JIGSAW_RETURN_IF_ERROR(start_workers());
  JIGSAW_RETURN_IF_ERROR(await_workers(&Member::ready, options_.start_timeout, "to load the models"));
  begin_ = clock_.now();
  has_begun_ = true;
  for (PipelineRun& run : pipelines_) run.step_begin = begin_;
  if (members_.num_lost() > 0) JIGSAW_RETURN_IF_ERROR(quiesce());
  while (!plan_.all_done() || adding_) {
    JIGSAW_RETURN_IF_ERROR(notice_losses());
    if (!stopping_ && options_.stop != nullptr && options_.stop->load()) {
      stopping_ = true;
      for (int pipeline = 0; pipeline < plan_.num_pipelines(); ++pipeline) begin_stopping(pipeline);
    }
    JIGSAW_RETURN_IF_ERROR(serve_control());
    if (is_quiescing_) {
      JIGSAW_RETURN_IF_ERROR(go_on_when_quiet());
    } else {
      JIGSAW_RETURN_IF_ERROR(stop_drained_pipelines());
      JIGSAW_RETURN_IF_ERROR(schedule());
      JIGSAW_RETURN_IF_ERROR(go_on_joining());
      JIGSAW_RETURN_IF_ERROR(go_on_adding());
    }
    JIGSAW_RETURN_IF_ERROR(receive_all(kReceiveWait));
    tick();
  }
  return ok_status();
}

Status Controller::await_workers(bool Member::*flag, std::chrono::milliseconds timeout, const std::string& what) {
  const Clock::TimePoint deadline = clock_.now() + timeout;
  const auto missing = [&] {
    std::vector<PeerId> workers;
    for (const PeerId worker : living_) {
      if (!(members_.at(worker).*flag)) workers.push_back(worker);
    }
    return names_of(workers);
  };
  while (!missing().empty()) {
    JIGSAW_RETURN_IF_ERROR(receive_all(std::chrono::milliseconds(0)));  // why a worker has ended, if it has told
    JIGSAW_RETURN_IF_ERROR(notice_losses());
    if (clock_.now() >= deadline) {
      return Error(ErrorCode::kTimeout,
                   "waited " + std::to_string(timeout.count() / 1000) + " s for " + missing() + " " + what);
    }
    if (options_.stop != nullptr && options_.stop->load())
      return Error(ErrorCode::kCancelled, "stopped before the first step");
    JIGSAW_RETURN_IF_ERROR(receive_all(kReceiveWait));
    awaited_ = missing() + " " + what;
    tick();
  }
  awaited_.clear();
  return ok_status();
}

wire::ToWorker Controller::start_message(const std::vector<std::string>& folders) const {
  wire::ToWorker message;
  wire::Start& start = *message.mutable_start();
  start.set_job_yaml(options_.job_yaml);
  start.set_job_name(options_.job_name);
  start.set_num_workers(static_cast<std::uint32_t>(options_.num_workers));
  for (const std::string& folder : folders) start.add_resume_folder(folder);
  start.set_controller_process(::getpid());
  start.set_controller_machine(machine_name());
  return message;
}

Status Controller::start_workers() {
  std::vector<std::string> folders;
  for (const StartPoint& point : start_points_) folders.push_back(point.folder);
  JIGSAW_RETURN_IF_ERROR(send_to_living(start_message(folders)));
  return send_members();
}

Status Controller::send_to_living(const wire::ToWorker& message) {
  for (const PeerId worker : living_) JIGSAW_RETURN_IF_ERROR(send(worker, message));
  return ok_status();
}

Status Controller::send_members() {
  wire::ToWorker message;
  *message.mutable_members() = members_.to_message();
  return send_to_living(message);
}

Status Controller::receive_all(std::chrono::milliseconds wait) {
  for (int i = 0; i < kMessagesPerRound; ++i) {
    JIGSAW_ASSIGN_OR_RETURN(std::optional<ReceivedMessage> received,
                            transport_.receive(i == 0 ? wait : std::chrono::milliseconds(0)));
    if (!received) break;
    wire::FromWorker message;
    if (members_.has(received->from) && members_.at(received->from).lost) continue;
    if (!members_.has(received->from)) {
      return Error(ErrorCode::kCorrupt, "a message of worker " + std::to_string(received->from) + ", which is none");
    }
    const Status status = received->bytes.parse_into(message)
                              ? handle(received->from, message)
                              : Status(Error(ErrorCode::kCorrupt, "worker " + std::to_string(received->from) +
                                                                      " sent bytes that are no message"));
    if (status.ok()) continue;
    // Whoever takes no part yet can end nothing.
    if (!joining_ || joining_->worker != received->from) return status;
    joining_->problem = status.error().message();
  }
  return ok_status();
}

Status Controller::handle(PeerId from, const wire::FromWorker& message) {
  Member& worker = members_.at(from);
  worker.last_heard = clock_.now();
  if (!message.has_heartbeat()) last_progress_ = worker.last_heard;
  const auto named = [&](Status status) -> Status {
    if (status.ok()) return status;
    return status.error().with_context("worker " + std::to_string(from));
  };
  for (const std::uint64_t node : {message.trajectory().node(), message.entered().node(), message.node_done().node(),
                                   message.moved().node(), message.progress().node(), message.summed().node()}) {
    if (Status status = check_sender(from, node); !status.ok()) return named(std::move(status));
  }
  switch (message.message_case()) {
    case wire::FromWorker::kHello:
      members_.on_hello(from, message.hello());
      log_info("worker.connected", "worker={} pid={} threads={}", from, message.hello().process(),
               message.hello().num_threads());
      return ok_status();
    case wire::FromWorker::kReady: return named(on_ready(from, message.ready()));
    case wire::FromWorker::kTrajectory: return named(on_trajectory(message.trajectory()));
    case wire::FromWorker::kEntered: return named(on_entered(message.entered()));
    case wire::FromWorker::kNodeDone: return named(on_node_done(message.node_done()));
    case wire::FromWorker::kFailed: return named(Error(ErrorCode::kInternal, message.failed().message()));
    case wire::FromWorker::kQuiesced: return named(on_quiesced(from, message.quiesced().epoch()));
    case wire::FromWorker::kHeartbeat: worker.waiting_for = message.heartbeat().waiting_for(); return ok_status();
    case wire::FromWorker::kMoved: return named(on_moved(message.moved()));
    case wire::FromWorker::kProgress: return named(on_progress(message.progress()));
    case wire::FromWorker::kSummed: return named(on_summed(message.summed()));
    case wire::FromWorker::kExtended: return named(on_extended(from, message.extended()));
    case wire::FromWorker::MESSAGE_NOT_SET: break;
  }
  return named(Error(ErrorCode::kCorrupt, "sent an empty message"));
}

// Sub-stages that are not running are for whoever handles the message.
Status Controller::check_sender(PeerId from, std::uint64_t node) const {
  const auto dispatched = dispatched_.find(node);
  if (dispatched == dispatched_.end() || dispatched->second.worker == from) return ok_status();
  return Error(ErrorCode::kCorrupt, "speaks for a sub-stage of worker " + std::to_string(dispatched->second.worker));
}

Status Controller::on_ready(PeerId from, const wire::Ready& ready) {
  if (members_.at(from).ready) return Error(ErrorCode::kCorrupt, "is ready for a second time");
  if (ready.weights_hash_size() != plan_.num_pipelines() || ready.policy_version_size() != plan_.num_pipelines()) {
    return Error(ErrorCode::kCorrupt, "knows another number of pipelines");
  }
  if (members_.at(from).joining) return on_joining_ready(from, ready);
  for (int pipeline = 0; pipeline < plan_.num_pipelines(); ++pipeline) {
    PipelineRun& run = pipelines_[static_cast<std::size_t>(pipeline)];
    if (!run.totals.weights_hash.empty() && run.totals.weights_hash != ready.weights_hash(pipeline)) {
      return Error(ErrorCode::kInternal, "has other first weights of pipeline '" +
                                             specs_[static_cast<std::size_t>(pipeline)].name +
                                             "' than another worker: do all machines see the same model files?");
    }
    run.totals.weights_hash = ready.weights_hash(pipeline);
    run.totals.policy_version = run.first_version = ready.policy_version(pipeline);
    run.progress[from] = {.version = ready.policy_version(pipeline), .synced_step = 0};
    run.checkpointed_step = start_points_[static_cast<std::size_t>(pipeline)].step;
  }
  members_.at(from).ready = true;
  return ok_status();
}

Status Controller::on_trajectory(const wire::TrajectoryDone& done) {
  const auto dispatched = dispatched_.find(done.node());
  if (dispatched == dispatched_.end())
    return Error(ErrorCode::kCorrupt, "sent a sample of a sub-stage that is not running");
  const NodeRef ref = dispatched->second.ref;
  StepState& step = step_state(ref.pipeline, ref.step);
  JIGSAW_RETURN_IF_ERROR(step.add_trajectory(done.trajectory()));
  observer_.on_sample(ref.pipeline, ref.step, step.num_trajectories(), plan_.spec(ref.pipeline).samples_per_step());
  return ok_status();
}

Status Controller::on_entered(const wire::RolloutEntered& entered) {
  const auto found = dispatched_.find(entered.node());
  if (found == dispatched_.end()) return Error(ErrorCode::kCorrupt, "is in a rollout that is not running");
  Dispatched& dispatched = found->second;
  if (plan_.done(dispatched.ref.pipeline)) return ok_status();
  const Graph& graph = plan_.window(dispatched.ref.pipeline).graph(dispatched.ref.step);
  int target = dispatched.ref.node;
  while (graph.node(target).kind != static_cast<SubStageKind>(entered.kind()) ||
         graph.node(target).turn != static_cast<int>(entered.turn())) {
    if (!graph.continues_after(target)) {
      return Error(ErrorCode::kCorrupt, "says that its rollout is in a sub-stage that does not follow " +
                                            to_string(graph.node(dispatched.ref.node)));
    }
    ++target;
  }
  for (; dispatched.ref.node < target; ++dispatched.ref.node) {
    dispatched.ran.push_back(finish_node(dispatched.ref, dispatched.worker, entered.busy_s() - dispatched.busy_s));
    dispatched.busy_s = entered.busy_s();
  }
  return ok_status();
}

Controller::Ran Controller::finish_node(NodeRef ref, PeerId worker, double busy_s) {
  const Clock::TimePoint now = clock_.now();
  const Node& node = plan_.node(ref);
  double work_s = busy_s;
  if (is_wait(node.kind)) {
    work_s = seconds(plan_.started_at(ref), now);
  } else if (members_.at(worker).num_threads > 1) {
    work_s = std::min(busy_s, plan_.work_done_s(ref, now));  // beside another it had some of the cores only
  }
  PipelineRun& run = pipelines_[static_cast<std::size_t>(ref.pipeline)];
  run.history.observe(ref.step, ref.node, work_s);
  step_state(ref.pipeline, ref.step).add_node(node, work_s, now);
  log_info("stage.done", "pipeline={} step={} stage={} work_s={:.3f}", plan_.spec(ref.pipeline).name, ref.step,
           to_string(node), work_s);
  Ran ran{.ref = ref, .run = co_runs_.end(node.worker, ref, now), .work_s = work_s};
  plan_.finish(ref, now);
  co_runs_.update(plan_, node.worker, now);
  return ran;
}

Status Controller::on_summed(const wire::UpdateSummed& summed) {
  const auto found = dispatched_.find(summed.node());
  if (found == dispatched_.end()) return Error(ErrorCode::kCorrupt, "waits in an update that is not running");
  const NodeRef ref = found->second.ref;
  if (plan_.done(ref.pipeline)) return ok_status();
  if (!found->second.in_plan || plan_.node(ref).kind != SubStageKind::kUpdate) {
    return Error(ErrorCode::kCorrupt, "waits for peers in a sub-stage that is no update");
  }
  log_debug("update.summed", "pipeline={} step={} stage={}", plan_.spec(ref.pipeline).name, ref.step,
            to_string(plan_.node(ref)));
  plan_.set_waits_for_peers(ref);
  return ok_status();
}

Status Controller::on_node_done(const wire::NodeDone& done) {
  const auto found = dispatched_.find(done.node());
  if (found == dispatched_.end()) return Error(ErrorCode::kCorrupt, "finished a sub-stage that is not running");
  Dispatched dispatched = std::move(found->second);
  dispatched_.erase(found);
  busy_s_ += done.busy_s();
  if (dispatched.for_joining) {
    on_saved_for_joining(done);
    return ok_status();
  }
  if (dispatched.checkpoint) {
    JIGSAW_RETURN_IF_ERROR(on_checkpoint_done(dispatched, done));
    if (!dispatched.in_plan) {
      plan_.stop(dispatched.ref.pipeline);
      return ok_status();
    }
  }
  NodeRef ref = dispatched.ref;
  StepState& step = step_state(ref.pipeline, ref.step);
  if (done.cancelled()) {
    for (const wire::PartialRollout& partial : done.partials()) step.add_partial(partial);
    step.add_recomputed_tokens(done.recomputed_tokens());
    return ok_status();
  }
  const Graph& graph = plan_.window(ref.pipeline).graph(ref.step);
  const Node& node = graph.node(ref.node);
  if (node.kind == SubStageKind::kLogprob) {
    for (const wire::Trajectory& scored : done.trajectories()) JIGSAW_RETURN_IF_ERROR(step.add_reference(scored));
  }
  Progress& progress = pipelines_[static_cast<std::size_t>(ref.pipeline)].progress[dispatched.worker];
  if (node.kind == SubStageKind::kUpdate) {
    progress.version = done.update().policy_version();
    observe_training(ref.pipeline, dispatched.worker, done.busy_s());
    JIGSAW_RETURN_IF_ERROR(step.add_update(node.update, done.update()));
  }
  if (node.kind == SubStageKind::kSync) progress.synced_step = ref.step;
  step.add_recomputed_tokens(done.recomputed_tokens());
  // What is left of a rollout's chain was not come to.
  double busy_s = done.busy_s() - dispatched.busy_s;
  while (graph.continues_after(ref.node)) {
    dispatched.ran.push_back(finish_node(ref, dispatched.worker, busy_s));
    busy_s = 0;
    ++ref.node;
  }
  dispatched.ran.push_back(finish_node(ref, dispatched.worker, busy_s));
  learn(dispatched);
  return plan_.step_finished(ref.pipeline) ? finish_step(ref.pipeline) : ok_status();
}

Status Controller::on_checkpoint_done(const Dispatched& dispatched, const wire::NodeDone& done) {
  const int pipeline = dispatched.ref.pipeline;
  if (!done.warning().empty()) {
    log_error("checkpoint.failed", "pipeline={} step={} error=\"{}\" (the checkpoint before it is kept)",
              plan_.spec(pipeline).name, dispatched.ref.step, done.warning());
    return ok_status();
  }
  pipelines_[static_cast<std::size_t>(pipeline)].checkpointed_step = dispatched.ref.step;
  log_info("checkpoint.written", "pipeline={} step={} folder={}", plan_.spec(pipeline).name, dispatched.ref.step,
           dispatched.folder);
  return observer_.on_checkpoint(pipeline, dispatched.ref.step, dispatched.folder);
}

StepState& Controller::step_state(int pipeline, std::int64_t step) {
  auto& steps = pipelines_[static_cast<std::size_t>(pipeline)].steps;
  const auto [entry, is_new] = steps.try_emplace(step);
  if (is_new)
    entry->second.begin(pipeline, plan_.spec(pipeline), step,
                        pipelines_[static_cast<std::size_t>(pipeline)].step_begin);
  return entry->second;
}

Status Controller::finish_step(int pipeline) {
  PipelineRun& run = pipelines_[static_cast<std::size_t>(pipeline)];
  const std::int64_t step = plan_.step(pipeline);
  JIGSAW_RETURN_IF_ERROR(report_step(pipeline, step));
  run.steps.erase(step);
  const bool had_drifted = run.history.drifted();
  run.history.finish_step(step);
  if (run.history.drifted() != had_drifted) {
    log_warning("prediction.drift", "pipeline={} step={} {}", plan_.spec(pipeline).name, step,
                had_drifted ? "steps go as predicted again" : "steps no longer go as predicted: it runs by itself");
  }
  plan_.advance(pipeline, clock_.now());
  plan_.set_forecast(pipeline, run.history.forecast());
  return ok_status();
}

// Once a step, when all of it but its checkpoint is done: a run that ends in the meantime goes on from a checkpoint
// that its workers may still write, and must have told of all steps that this holds.
Status Controller::report_step(int pipeline, std::int64_t step) {
  PipelineRun& run = pipelines_[static_cast<std::size_t>(pipeline)];
  if (run.reported_step >= step) return ok_status();
  run.reported_step = step;
  const Clock::TimePoint now = clock_.now();
  observe_completions(pipeline, step);
  StepReport report = step_state(pipeline, step).report(plan_.spec(pipeline), now);
  report.step_s = seconds(run.step_begin, now);
  run.step_begin = now;
  report.prediction_error = run.history.error_of(step);
  run.totals.add(report);
  return observer_.on_step(report);
}

std::int64_t Controller::version_before(int pipeline, std::int64_t step) const {
  const auto place = static_cast<std::size_t>(pipeline);
  const std::int64_t steps_before = step - 1 - start_points_[place].step;
  return pipelines_[place].first_version + steps_before * specs_[place].updates_per_step;
}

std::int64_t Controller::rollout_version(int pipeline, std::int64_t step) const {
  const PipelineSpec& spec = plan_.spec(pipeline);
  return std::max<std::int64_t>(0,
                                version_before(pipeline, step) - std::int64_t{spec.staleness} * spec.updates_per_step);
}

bool Controller::is_committed(int pipeline) const {
  const std::int64_t step = plan_.step(pipeline);
  const int staleness = plan_.spec(pipeline).staleness;
  // The weights before this step, once kept for rollouts, replace those that a checkpoint now would have to hold.
  return plan_.kind_started(pipeline, step, SubStageKind::kUpdate) ||
         (staleness > 0 && plan_.kind_started(pipeline, step + staleness, SubStageKind::kSync));
}

bool Controller::ends_committed_step(NodeRef ref) const {
  if (!is_committed(ref.pipeline)) return false;
  const std::int64_t step = plan_.step(ref.pipeline);
  return ref.step == step ||
         (plan_.node(ref).kind == SubStageKind::kSync && ref.step == step + plan_.spec(ref.pipeline).staleness);
}

// What a policy would rather start first is not started while stopping, and would keep these from their turn.
Status Controller::dispatch_last_syncs() {
  std::vector<NodeRef> syncs;
  for (const NodeRef ref : plan_.ready()) {
    const bool is_stopping = pipelines_[static_cast<std::size_t>(ref.pipeline)].is_stopping;
    const bool is_sync = plan_.node(ref).kind == SubStageKind::kSync;
    if (is_stopping && is_sync && ends_committed_step(ref)) syncs.push_back(ref);
  }
  for (const NodeRef ref : syncs) {
    JIGSAW_RETURN_IF_ERROR(dispatch({.node = ref, .share = 1, .reason = "ends a step that has begun", .options = {}}));
  }
  return ok_status();
}

Status Controller::schedule() {
  const bool asks_again = !waits_.empty() && clock_.now() - last_decision_ > kAskAgainAfter;
  if (plan_.revision() == decided_revision_ && !asks_again && !has_news_) return ok_status();
  has_news_ = false;
  JIGSAW_RETURN_IF_ERROR(dispatch_last_syncs());
  decided_revision_ = plan_.revision();
  last_decision_ = clock_.now();
  if (asks_again) plan_.touch_all();
  const auto begin = std::chrono::steady_clock::now();
  const Decision decision = policy_->choose(plan_, capacity_, clock_.now());
  const auto took = std::chrono::steady_clock::now() - begin;
  explain(decision);
  plan_.forget_touched();
  for (const ShareChange& change : decision.reshare) JIGSAW_RETURN_IF_ERROR(reshare(change));
  for (const MergeChoice& choice : decision.merge) JIGSAW_RETURN_IF_ERROR(merge(choice));
  if (decision.start.empty() && decision.reshare.empty() && decision.wait.empty() && decision.merge.empty()) {
    return ok_status();
  }
  decision_us_.push_back(std::chrono::duration<double, std::micro>(took).count());
  for (const DispatchChoice& choice : decision.start) {
    // While stopping, only steps that have begun to change the weights are taken to their end.
    const bool is_stopping = pipelines_[static_cast<std::size_t>(choice.node.pipeline)].is_stopping;
    if (is_stopping && !ends_committed_step(choice.node)) continue;
    JIGSAW_RETURN_IF_ERROR(dispatch(choice));
  }
  decided_revision_ = plan_.revision();  // what was started by itself asks for no other decision
  return ok_status();
}

void Controller::explain(const Decision& decision) {
  std::map<NodeRef, std::string> waits;
  for (const WaitChoice& wait : decision.wait) {
    waits[wait.node] = wait.reason;
    const auto before = waits_.find(wait.node);
    if (before != waits_.end() && before->second == wait.reason) continue;
    log_info("stage.held", "pipeline={} step={} stage={} reason=\"{}\" options=\"{}\"",
             plan_.spec(wait.node.pipeline).name, wait.node.step, to_string(plan_.node(wait.node)), wait.reason,
             to_text(wait.options));
  }
  waits_ = std::move(waits);
  for (const DispatchChoice& choice : decision.start) {
    if (choice.options.empty()) continue;
    log_info("stage.chosen", "pipeline={} step={} stage={} options=\"{}\"", plan_.spec(choice.node.pipeline).name,
             choice.node.step, to_string(plan_.node(choice.node)), to_text(choice.options));
  }
}

Status Controller::reshare(const ShareChange& change) {
  const int worker = plan_.node(change.node).worker;
  plan_.set_share(change.node, change.share);
  co_runs_.update(plan_, worker, clock_.now());
  for (const auto& [id, dispatched] : dispatched_) {
    if (dispatched.ref != change.node || !dispatched.in_plan) continue;
    wire::ToWorker message;
    message.mutable_reshare()->set_node(id);
    message.mutable_reshare()->set_share(change.share);
    log_info("stage.reshared", "pipeline={} step={} stage={} share={} reason=\"{}\"",
             plan_.spec(change.node.pipeline).name, change.node.step, to_string(plan_.node(change.node)), change.share,
             change.reason);
    return send(dispatched.worker, message);
  }
  return ok_status();
}

Status Controller::dispatch(const DispatchChoice& choice) {
  const NodeRef ref = choice.node;
  const Node& node = plan_.node(ref);
  wire::ToWorker message;
  wire::Dispatch& dispatch = *message.mutable_dispatch();
  JIGSAW_RETURN_IF_ERROR(fill_work(ref, dispatch));
  dispatch.set_pipeline(static_cast<std::uint32_t>(ref.pipeline));
  dispatch.set_step(ref.step);
  dispatch.set_share(choice.share);
  const Clock::TimePoint now = clock_.now();
  plan_.start(ref, choice.share, now);
  co_runs_.update(plan_, node.worker, now);
  log_info("stage.dispatched", "pipeline={} step={} stage={} share={} reason=\"{}\"", plan_.spec(ref.pipeline).name,
           ref.step, to_string(node), choice.share, choice.reason);
  return send_dispatch(message, {.worker = peer_of(node.worker),
                                 .ref = ref,
                                 .busy_s = 0,
                                 .in_plan = true,
                                 .checkpoint = node.kind == SubStageKind::kCheckpoint,
                                 .folder = dispatch.checkpoint().folder()});
}

Status Controller::fill_work(NodeRef ref, wire::Dispatch& dispatch) {
  const Node& node = plan_.node(ref);
  const PipelineSpec& spec = plan_.spec(ref.pipeline);
  StepState& step = step_state(ref.pipeline, ref.step);
  // A worker that says its rollout has ended has sent all of it; that is for it to keep, and for us to see.
  const auto add_trajectory = [&](std::uint32_t sample, auto* work) -> Status {
    if (!step.has_trajectory(sample)) {
      return Error(ErrorCode::kCorrupt, "sample " + std::to_string(sample) + " of pipeline '" + spec.name + "', step " +
                                            std::to_string(ref.step) + ", never came, though its rollout has ended");
    }
    *work->add_trajectories() = step.trajectory(sample);
    return ok_status();
  };
  switch (node.kind) {
    case SubStageKind::kSync:
      dispatch.mutable_sync()->set_policy_version(rollout_version(ref.pipeline, ref.step));
      return ok_status();
    case SubStageKind::kPrefill:
      dispatch.mutable_rollout()->set_policy_version(rollout_version(ref.pipeline, ref.step));
      for (const std::uint32_t sample : node.samples) {
        if (step.has_trajectory(sample)) continue;  // before a worker was lost
        dispatch.mutable_rollout()->add_samples(sample);
        if (const auto* partial = step.partial(sample)) *dispatch.mutable_rollout()->add_partials() = *partial;
      }
      return ok_status();
    case SubStageKind::kLogprob:
      for (const std::uint32_t sample : node.samples) {
        if (step.has_reference(sample)) continue;
        JIGSAW_RETURN_IF_ERROR(add_trajectory(sample, dispatch.mutable_logprob()));
      }
      return ok_status();
    case SubStageKind::kUpdate: {
      wire::UpdateWork& work = *dispatch.mutable_update();
      work.set_update(version_before(ref.pipeline, ref.step) + node.update);
      work.set_attempt((epoch_ << 32) + static_cast<std::uint64_t>(work.update()));
      const auto [begin, end] = update_samples(spec, node.update);
      for (std::uint32_t sample = begin; sample < end; ++sample) {
        JIGSAW_RETURN_IF_ERROR(add_trajectory(sample, &work));
      }
      // Those who have applied it already, before a worker was lost, cannot compute with the weights before it.
      std::vector<PeerId> participants;
      for (const PeerId worker : living_) {
        if (pipelines_[static_cast<std::size_t>(ref.pipeline)].progress[worker].version == work.update())
          participants.push_back(worker);
      }
      for (const PeerId worker : participants) work.add_participants(worker);
      const UpdateShares& shares = share_out(ref, work);
      for (std::size_t i = 0; i < shares.owners.size(); ++i) {
        i < shares.num_pairs ? work.add_pair_owner(shares.owners[i]) : work.add_slot_owner(shares.owners[i]);
      }
      return ok_status();
    }
    case SubStageKind::kCheckpoint:
      JIGSAW_RETURN_IF_ERROR(report_step(ref.pipeline, ref.step));
      *dispatch.mutable_checkpoint() = checkpoint_work(ref.pipeline, ref.step);
      return ok_status();
    case SubStageKind::kDecodeBulk:
    case SubStageKind::kDecodeTail:
    case SubStageKind::kTool:
    case SubStageKind::kReward: break;
  }
  CHECK_FAILED(to_string(node) + " is come to without a dispatch");
}

Status Controller::send_dispatch(wire::ToWorker& message, const Dispatched& dispatched) {
  message.mutable_dispatch()->set_node(next_dispatch_);
  dispatched_[next_dispatch_++] = dispatched;
  return send(dispatched.worker, message);
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

void Controller::begin_stopping(int pipeline) {
  if (plan_.done(pipeline)) return;
  pipelines_[static_cast<std::size_t>(pipeline)].is_stopping = true;
  pause_as_wanted();
  log_info("pipeline.stopping",
           "pipeline={}: its step under way is dropped, or finished where the weights are changing already",
           plan_.spec(pipeline).name);
}

// Once a pipeline: its rollouts and log-probs under way are of a step that will not be finished.
Status Controller::cancel(int pipeline) {
  bool& is_cancelled = pipelines_[static_cast<std::size_t>(pipeline)].is_cancelled;
  if (is_cancelled) return ok_status();
  is_cancelled = true;
  wire::ToWorker message;
  message.mutable_cancel()->set_pipeline(static_cast<std::uint32_t>(pipeline));
  return send_to_living(message);
}

Status Controller::stop_drained_pipelines() {
  for (int pipeline = 0; pipeline < plan_.num_pipelines(); ++pipeline) {
    const bool is_stopping = pipelines_[static_cast<std::size_t>(pipeline)].is_stopping;
    if (!is_stopping || plan_.done(pipeline) || is_committed(pipeline)) continue;
    JIGSAW_RETURN_IF_ERROR(cancel(pipeline));
    const bool busy = std::any_of(dispatched_.begin(), dispatched_.end(),
                                  [&](const auto& entry) { return entry.second.ref.pipeline == pipeline; });
    if (busy) continue;
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
    JIGSAW_RETURN_IF_ERROR(send_dispatch(message, {.worker = peer_of(1),
                                                   .ref = {.pipeline = pipeline, .step = steps_done, .node = 0},
                                                   .busy_s = 0,
                                                   .in_plan = false,
                                                   .checkpoint = true,
                                                   .folder = dispatch.checkpoint().folder()}));
  }
  return ok_status();
}

Status Controller::send(PeerId to, const wire::ToWorker& message) {
  const Status status = transport_.send(to, message.SerializeAsString());
  if (status.ok() || !(members_.at(to).ready || members_.at(to).joining)) return status;
  members_.at(to).send_error = status.error().message();  // notice_losses() sees to it
  return ok_status();
}

void Controller::tick() {
  const Clock::TimePoint now = clock_.now();
  if (waits_for_people()) last_progress_ = now;
  if (now - last_progress_ > kStallReportAfter) {
    log_warning("run.stalled", "nothing finished for {:.0f} s; {}", seconds(last_progress_, now), stall_report());
    last_progress_ = now;
  }
  if (now - last_tick_ < kTickEvery) return;
  last_tick_ = now;
  observer_.on_tick();
  if (now - last_ping_ < kPingEvery) return;
  last_ping_ = now;
  wire::ToWorker ping;
  ping.mutable_ping();
  for (const PeerId worker : living_) {
    if (members_.at(worker).ready) (void)send(worker, ping);
  }
  if (joining_ && members_.at(joining_->worker).hello) (void)send(joining_->worker, ping);
}

// All that is left has been paused.
bool Controller::waits_for_people() const {
  for (int pipeline = 0; pipeline < plan_.num_pipelines(); ++pipeline) {
    if (!plan_.done(pipeline) && !pipelines_[static_cast<std::size_t>(pipeline)].is_paused) return false;
  }
  return dispatched_.empty();
}

std::string Controller::stall_report() const {
  if (!awaited_.empty()) return "waits for " + awaited_;
  std::string report;
  for (int pipeline = 0; pipeline < plan_.num_pipelines(); ++pipeline) {
    const std::string waiting_for = plan_.waiting_for(pipeline);
    if (!waiting_for.empty()) report += "pipeline '" + plan_.spec(pipeline).name + "' waits for " + waiting_for + "; ";
  }
  for (const PeerId worker : living_) {
    const std::string& waiting_for = members_.at(worker).waiting_for;
    if (!waiting_for.empty()) report += "worker " + std::to_string(worker) + " waits for " + waiting_for + "; ";
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
    // Two lanes of a worker can be busy at the same time.
    summary.worker_busy_share = std::min(1.0, busy_s_ / (summary.wall_s * options_.num_workers));
  }
  summary.migrations = num_moved_;
  set_decision_times(summary, decision_us_);
  summary.interrupted = std::ranges::any_of(pipelines_, &PipelineRun::is_stopping);
  summary.workers_lost = members_.num_lost();
  summary.workers_joined = members_.num_joined();
  summary.members_have_changed = epoch_ > 0 || members_.num_joined() > 0 || members_.num_lost() > 0;
  return summary;
}

}  // namespace jigsaw
