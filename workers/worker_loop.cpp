#include "workers/worker_loop.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "core/log.h"
#include "workers/job/job_config.h"
#include "workers/stages/checkpoint_stage.h"
#include "workers/stages/logprob_stage.h"
#include "workers/stages/rollout_stage.h"
#include "workers/stages/sync_stage.h"
#include "workers/stages/update_stage.h"

namespace jigsaw {
namespace {

constexpr std::chrono::milliseconds kIdleWait{20};    // nothing to do: the next message ends it at once
constexpr std::chrono::milliseconds kWaitingWait{1};  // sub-stages wait for rewards or peers
constexpr std::chrono::milliseconds kHeartbeatEvery{1000};
constexpr int kPeerMessagesPerPoll = 32;  // of up to 2 MiB: what may come between two quanta

std::string gigabytes(std::size_t bytes) { return fmt::format("{:.2f} GB", static_cast<double>(bytes) / (1 << 30)); }

// What making such a sub-stage, and it itself, touches.
PipelineParts parts_of(wire::Dispatch::WorkCase work, const PipelineRuntime& runtime) {
  if (!runtime.has_rollout_copy()) return PipelineParts::kAll;
  switch (work) {
    case wire::Dispatch::kRollout: return PipelineParts::kRollout;
    case wire::Dispatch::kSync:
    case wire::Dispatch::kLogprob:
    case wire::Dispatch::kUpdate: return PipelineParts::kTraining;
    default: return PipelineParts::kAll;
  }
}

}  // namespace

WorkerLoop::WorkerLoop(WorkerOptions options, Transport& transport, PeerLinks& links, MakeExchange make_exchange,
                       const Clock& clock)
    : options_(std::move(options)),
      transport_(transport),
      links_(links),
      make_exchange_(std::move(make_exchange)),
      clock_(clock),
      executor_(options_.num_threads, clock, options_.cpus),
      moves_(links,
             {.rollout_at_rest = [this](std::uint64_t node) { return rollout_at_rest(node); },
              .on_moved =
                  [this](const wire::RolloutsMoved& moved) {
                    wire::FromWorker message;
                    *message.mutable_moved() = moved;
                    return send(message);
                  }},
             clock) {}

Status WorkerLoop::run() {
  Status status = serve();
  if (!status.ok()) {
    wire::FromWorker message;
    message.mutable_failed()->set_message(status.error().message());
    (void)send(message);  // the caller gets the error, too
  }
  return status;
}

Status WorkerLoop::serve() {
  wire::FromWorker hello;
  hello.mutable_hello()->set_worker(options_.worker);
  hello.mutable_hello()->set_process(::getpid());
  hello.mutable_hello()->set_num_threads(static_cast<std::uint32_t>(options_.num_threads));
  hello.mutable_hello()->set_machine(machine_name());
  hello.mutable_hello()->set_peer_endpoint(links_.endpoint());
  hello.mutable_hello()->set_peer_public_key(links_.public_key());
  JIGSAW_RETURN_IF_ERROR(send(hello));
  last_heard_ = clock_.now();
  while (!shutdown_) {
    JIGSAW_ASSIGN_OR_RETURN(const bool ran, executor_.step());
    JIGSAW_RETURN_IF_ERROR(report_done());
    JIGSAW_RETURN_IF_ERROR(report_quiesced());
    const auto wait = ran ? std::chrono::milliseconds(0) : (executor_.empty() ? kIdleWait : kWaitingWait);
    JIGSAW_RETURN_IF_ERROR(receive_all(wait));
    JIGSAW_RETURN_IF_ERROR(receive_from_peers());
    JIGSAW_RETURN_IF_ERROR(moves_.serve());
    for (LinkExchange* exchange : link_exchanges_) exchange->serve();
    for (const auto& runtime : pipelines_) runtime->split_exchange()->serve();
    JIGSAW_RETURN_IF_ERROR(send_heartbeat_if_due());
    JIGSAW_RETURN_IF_ERROR(check_controller());
  }
  return ok_status();
}

Status WorkerLoop::check_controller() const {
  if (controller_.has_ended()) {
    return Error(ErrorCode::kUnavailable, "the controller is gone; run again with --resume");
  }
  const std::chrono::milliseconds limit = pipelines_.empty() ? options_.start_timeout : options_.controller_timeout;
  if (clock_.now() - last_heard_ <= limit) return ok_status();
  return Error(ErrorCode::kTimeout,
               "the controller has said nothing for " + std::to_string(limit.count() / 1000) + " s");
}

Status WorkerLoop::receive_all(std::chrono::milliseconds wait) {
  while (!shutdown_) {
    JIGSAW_ASSIGN_OR_RETURN(std::optional<ReceivedMessage> received, transport_.receive(wait));
    if (!received) return ok_status();
    last_heard_ = clock_.now();
    wire::ToWorker message;
    if (!received->bytes.parse_into(message)) {
      return Error(ErrorCode::kCorrupt, "the controller sent bytes that are no message");
    }
    JIGSAW_RETURN_IF_ERROR(handle(message));
    wait = std::chrono::milliseconds(0);
  }
  return ok_status();
}

Status WorkerLoop::handle(const wire::ToWorker& message) {
  switch (message.message_case()) {
    case wire::ToWorker::kStart: return on_start(message.start());
    case wire::ToWorker::kDispatch: return on_dispatch(message.dispatch());
    case wire::ToWorker::kCancel: cancel(static_cast<int>(message.cancel().pipeline())); return ok_status();
    case wire::ToWorker::kReshare: return on_reshare(message.reshare());
    case wire::ToWorker::kQuiesce: on_quiesce(message.quiesce()); return ok_status();
    case wire::ToWorker::kPing: return ok_status();
    case wire::ToWorker::kMembers: return on_members(message.members());
    case wire::ToWorker::kExtend: return on_extend(message.extend());
    case wire::ToWorker::kForget: forget_pipelines(message.forget().first_pipeline()); return ok_status();
    case wire::ToWorker::kMove: moves_.begin(message.move()); return ok_status();
    case wire::ToWorker::kShutdown:
      if (!message.shutdown().reason().empty()) return Error(ErrorCode::kUnavailable, message.shutdown().reason());
      shutdown_ = true;
      return ok_status();
    case wire::ToWorker::MESSAGE_NOT_SET: break;
  }
  return Error(ErrorCode::kCorrupt, "the controller sent an empty message");
}

Status WorkerLoop::on_start(const wire::Start& start) {
  if (!pipelines_.empty()) return Error(ErrorCode::kCorrupt, "was told to start twice");
  JIGSAW_ASSIGN_OR_RETURN(const Job job, read_job(start.job_yaml(), start.job_name()));
  bins_ = job.config.bins;
  moves_.set_way(job.config.merge_by);
  if (start.controller_machine() == machine_name() && start.controller_process() != ::getpid()) {
    if (auto watch = ProcessWatch::open(start.controller_process()); watch.ok()) controller_ = *std::move(watch);
  }
  JIGSAW_RETURN_IF_ERROR(load(job, {start.resume_folder().begin(), start.resume_folder().end()}, make_exchange_));
  if (options_.exchanges_over_links) exchange_over_links();
  wire::FromWorker message;
  for (const auto& runtime : pipelines_) {
    message.mutable_ready()->add_policy_version(runtime->trainer().version());
    message.mutable_ready()->add_weights_hash(runtime->weights().hash());
  }
  return send(message);
}

// Those that are not there yet. On an error some of them may be.
Status WorkerLoop::load(const Job& job, const std::vector<std::string>& resume_folders,
                        const MakeExchange& make_exchange) {
  std::vector<PipelineMemory> memories;
  for (const auto& runtime : pipelines_) memories.push_back(runtime->memory());
  for (std::size_t i = pipelines_.size(); i < job.config.pipelines.size(); ++i) {
    const PipelineConfig& config = job.config.pipelines[i];
    JIGSAW_ASSIGN_OR_RETURN(std::unique_ptr<GradientExchange> exchange, make_exchange(static_cast<int>(i)));
    auto runtime =
        PipelineRuntime::create(config, i < resume_folders.size() ? resume_folders[i] : "", std::move(exchange));
    if (!runtime.ok()) return runtime.error().with_context("pipeline '" + config.name + "'");
    (*runtime)->set_split_exchange(std::make_unique<SplitExchange>(links_, static_cast<std::uint32_t>(i), clock_));
    memories.push_back((*runtime)->memory());
    JIGSAW_RETURN_IF_ERROR(admit(std::span(job.config.pipelines).first(i + 1), memories));
    pipelines_.push_back(*std::move(runtime));
  }
  release_memory_if_short();
  return ok_status();
}

void WorkerLoop::release_memory_if_short() {
  std::size_t total = 0;
  for (const auto& runtime : pipelines_) total += runtime->memory().total();
  for (const auto& runtime : pipelines_) {
    runtime->set_releases_memory(options_.memory_bytes_max != 0 && total > options_.memory_bytes_max);
  }
}

// What goes wrong here concerns the new pipelines alone.
Status WorkerLoop::on_extend(const wire::Extend& extend) {
  const std::size_t num_before = pipelines_.size();
  if (num_before == 0) return Error(ErrorCode::kCorrupt, "was sent further pipelines before it was told to start");
  wire::FromWorker message;
  wire::Extended& extended = *message.mutable_extended();
  const Result<Job> job = read_job(extend.job_yaml(), extend.job_name());
  // All exchanges are made anew when everybody comes to rest, before the first update of a new pipeline.
  const auto over_links = [this](int pipeline) -> Result<std::unique_ptr<GradientExchange>> {
    return std::unique_ptr<GradientExchange>(
        std::make_unique<LinkExchange>(links_, options_.worker, static_cast<std::uint32_t>(pipeline), clock_));
  };
  if (const Status status = job.ok() ? load(*job, {}, over_links) : Status(job.error()); !status.ok()) {
    forget_pipelines(num_before);
    extended.set_error(status.error().message());
    return send(message);
  }
  for (std::size_t i = num_before; i < pipelines_.size(); ++i) {
    extended.add_policy_version(pipelines_[i]->trainer().version());
    extended.add_weights_hash(pipelines_[i]->weights().hash());
  }
  return send(message);
}

void WorkerLoop::forget_pipelines(std::size_t first) {
  if (first >= pipelines_.size()) return;
  pipelines_.erase(pipelines_.begin() + static_cast<std::ptrdiff_t>(first), pipelines_.end());
  release_memory_if_short();
}

// Whether the last of these pipelines fits beside the others.
Status WorkerLoop::admit(std::span<const PipelineConfig> configs, std::span<const PipelineMemory> memories) const {
  const PipelineMemory& memory = memories.back();
  log_info("pipeline.loaded",
           "pipeline={} weights=\"{}\" rollout_weights=\"{}\" reference=\"{}\" kv=\"{}\" optimizer=\"{}\" "
           "gradients=\"{}\" activations=\"{}\"",
           configs.back().name, gigabytes(memory.weights), gigabytes(memory.rollout_weights),
           gigabytes(memory.reference), gigabytes(memory.kv), gigabytes(memory.optimizer), gigabytes(memory.gradients),
           gigabytes(memory.activations));
  const std::size_t bytes = least_memory(configs, memories);
  if (options_.memory_bytes_max == 0 || bytes <= options_.memory_bytes_max) return ok_status();
  return Error(ErrorCode::kResourceExhausted,
               "pipeline '" + configs.back().name + "' does not fit: with it the pipelines need " + gigabytes(bytes) +
                   " of " + gigabytes(options_.memory_bytes_max) +
                   ", even one after the other; lower rollout.kv_mb or train.micro_batch_tokens, set " +
                   "train.recompute_activations, or raise memory_gb_per_worker");
}

Status WorkerLoop::on_dispatch(const wire::Dispatch& dispatch) {
  if (dispatch.pipeline() >= pipelines_.size())
    return Error(ErrorCode::kCorrupt, "was sent work of an unknown pipeline");
  if (!(dispatch.share() > 0)) return Error(ErrorCode::kCorrupt, "was sent work with a share that is not above 0");
  PipelineRuntime& runtime = *pipelines_[dispatch.pipeline()];
  const int pipeline = static_cast<int>(dispatch.pipeline());
  // Making a sub-stage reads and writes what a quantum under way may be using.
  executor_.finish_quanta(pipeline, parts_of(dispatch.work_case(), runtime));
  std::unique_ptr<SubStage> stage;
  switch (dispatch.work_case()) {
    case wire::Dispatch::kRollout: {
      JIGSAW_ASSIGN_OR_RETURN(stage, make_rollout(runtime, dispatch));
      break;
    }
    case wire::Dispatch::kLogprob: stage = std::make_unique<LogprobStage>(runtime, dispatch.logprob()); break;
    case wire::Dispatch::kUpdate: {
      const auto on_summed = [this, node = dispatch.node()] {
        wire::FromWorker message;
        message.mutable_summed()->set_node(node);
        return send(message);
      };
      JIGSAW_ASSIGN_OR_RETURN(stage, UpdateStage::create(runtime, options_.worker, dispatch.update(), on_summed));
      break;
    }
    case wire::Dispatch::kCheckpoint: stage = std::make_unique<CheckpointStage>(runtime, dispatch.checkpoint()); break;
    case wire::Dispatch::kSync: stage = std::make_unique<SyncStage>(runtime, dispatch.sync()); break;
    case wire::Dispatch::WORK_NOT_SET: return Error(ErrorCode::kCorrupt, "was sent a dispatch without work");
  }
  const QuantumKey key{pipeline, dispatch.work_case()};
  quantum_keys_[dispatch.node()] = key;
  executor_.start(dispatch.node(), pipeline, dispatch.share(), std::move(stage), quanta_s_[key]);
  return ok_status();
}

Result<std::unique_ptr<SubStage>> WorkerLoop::make_rollout(PipelineRuntime& runtime, const wire::Dispatch& dispatch) {
  const std::uint64_t node = dispatch.node();
  const auto on_trajectory = [this, node](wire::Trajectory trajectory) {
    wire::FromWorker message;
    message.mutable_trajectory()->set_node(node);
    *message.mutable_trajectory()->mutable_trajectory() = std::move(trajectory);
    return send(message);
  };
  const auto on_entered = [this, node](RolloutPhase::Place place) {
    wire::FromWorker message;
    wire::RolloutEntered& entered = *message.mutable_entered();
    entered.set_node(node);
    entered.set_kind(static_cast<std::uint32_t>(place.kind));
    entered.set_turn(static_cast<std::uint32_t>(place.turn));
    entered.set_busy_s(executor_.busy_s(node));
    return send(message);
  };
  const auto on_progress = [this, node](const RunningSamples& running) {
    wire::FromWorker message;
    message.mutable_progress()->set_node(node);
    message.mutable_progress()->set_running(static_cast<std::uint32_t>(running.count));
    message.mutable_progress()->set_mean_tokens(running.mean_tokens);
    return send(message);
  };
  JIGSAW_ASSIGN_OR_RETURN(
      std::unique_ptr<RolloutStage> stage,
      RolloutStage::create(runtime, dispatch.step(), dispatch.rollout(), bins_,
                           {.on_trajectory = on_trajectory, .on_entered = on_entered, .on_progress = on_progress}));
  rollouts_[node] = {.pipeline = static_cast<int>(dispatch.pipeline()), .stage = stage.get()};
  return std::unique_ptr<SubStage>(std::move(stage));
}

Status WorkerLoop::on_reshare(const wire::Reshare& reshare) {
  if (!(reshare.share() > 0)) return Error(ErrorCode::kCorrupt, "was sent a share that is not above 0");
  executor_.reshare(reshare.node(), reshare.share());
  return ok_status();
}

RolloutStage* WorkerLoop::rollout_at_rest(std::uint64_t node) {
  const auto rollout = rollouts_.find(node);
  if (rollout == rollouts_.end()) return nullptr;
  executor_.finish_quanta(rollout->second.pipeline, PipelineParts::kRollout);
  return rollout->second.stage;
}

void WorkerLoop::give_up_moves(int pipeline) {
  for (const auto& [node, rollout] : rollouts_) {
    if (rollout.pipeline == pipeline) moves_.give_up(node);
  }
}

void WorkerLoop::cancel(int pipeline) {
  give_up_moves(pipeline);
  executor_.cancel(pipeline);
}

void WorkerLoop::on_quiesce(const wire::Quiesce& quiesce) {
  for (std::size_t pipeline = 0; pipeline < pipelines_.size(); ++pipeline) give_up_moves(static_cast<int>(pipeline));
  executor_.abandon_all();
  quiescing_ = quiesce.epoch();
}

Status WorkerLoop::report_quiesced() {
  if (!quiescing_ || !executor_.empty()) return ok_status();
  wire::FromWorker message;
  message.mutable_quiesced()->set_epoch(*std::exchange(quiescing_, std::nullopt));
  exchange_over_links();
  return send(message);
}

// MPI knows nothing of who is gone.
void WorkerLoop::exchange_over_links() {
  link_exchanges_.clear();
  for (std::size_t i = 0; i < pipelines_.size(); ++i) {
    auto exchange = std::make_unique<LinkExchange>(links_, options_.worker, static_cast<std::uint32_t>(i), clock_);
    link_exchanges_.push_back(exchange.get());
    pipelines_[i]->exchange().abandon();
    pipelines_[i]->set_exchange(std::move(exchange));
  }
}

Status WorkerLoop::on_members(const wire::Members& members) {
  std::vector<PeerAddress> peers;
  for (const wire::Member& member : members.member()) {
    peers.push_back({.worker = member.worker(), .endpoint = member.endpoint(), .public_key = member.public_key()});
  }
  JIGSAW_RETURN_IF_ERROR(links_.set_peers(peers));
  std::vector<PeerId> workers;
  for (const PeerAddress& peer : peers) workers.push_back(peer.worker);
  for (const PeerId peer : std::exchange(peers_, workers)) {
    if (std::ranges::find(workers, peer) == workers.end()) moves_.on_peer_lost(peer);
  }
  return ok_status();
}

Status WorkerLoop::receive_from_peers() {
  for (int i = 0; i < kPeerMessagesPerPoll; ++i) {
    JIGSAW_ASSIGN_OR_RETURN(std::optional<ReceivedMessage> received, links_.receive(std::chrono::milliseconds(0)));
    if (!received) return ok_status();
    const auto decoded = decode_peer_frame(received->bytes);
    if (!decoded.ok()) {
      log_warning("link.corrupt", "from={} bytes={}", received->from, received->bytes.size());
    } else if (!moves_.on_frame(received->from, received->bytes, *decoded)) {
      handle_peer(received->from, decoded->message);
    }
  }
  return ok_status();
}

// What another worker says ends nothing here: it may be confused or out of date.
void WorkerLoop::handle_peer(PeerId from, const wire::PeerMessage& message) {
  switch (message.message_case()) {
    case wire::PeerMessage::kGradientRequest:
      if (message.gradient_request().pipeline() >= link_exchanges_.size()) break;
      link_exchanges_[message.gradient_request().pipeline()]->on_request(from, message.gradient_request());
      return;
    case wire::PeerMessage::kGradient:
      if (message.gradient().pipeline() >= link_exchanges_.size()) break;
      link_exchanges_[message.gradient().pipeline()]->on_part(from, message.gradient());
      return;
    case wire::PeerMessage::kSplitRequest:
      if (message.split_request().pipeline() >= pipelines_.size()) break;
      pipelines_[message.split_request().pipeline()]->split_exchange()->on_request(from, message.split_request());
      return;
    case wire::PeerMessage::kSplit:
      if (message.split().pipeline() >= pipelines_.size()) break;
      pipelines_[message.split().pipeline()]->split_exchange()->on_part(from, message.split());
      return;
    default: break;
  }
  log_warning("link.unexpected", "from={} message={}", from, static_cast<int>(message.message_case()));
}

Status WorkerLoop::report_done() {
  for (Executor::Entry& entry : executor_.take_done()) {
    rollouts_.erase(entry.node);
    if (!entry.cancelled) quanta_s_[quantum_keys_.at(entry.node)] = entry.longest_quantum_s;
    quantum_keys_.erase(entry.node);
    wire::FromWorker message;
    wire::NodeDone& done = *message.mutable_node_done();
    done.set_node(entry.node);
    done.set_busy_s(entry.busy_s);
    done.set_cancelled(entry.cancelled);
    entry.stage->fill(done);
    JIGSAW_RETURN_IF_ERROR(send(message));
  }
  return ok_status();
}

Status WorkerLoop::send_heartbeat_if_due() {
  const Clock::TimePoint now = clock_.now();
  if (now - last_heartbeat_ < kHeartbeatEvery) return ok_status();
  last_heartbeat_ = now;
  wire::FromWorker message;
  message.mutable_heartbeat()->set_waiting_for(executor_.waiting_for());
  return send(message);
}

Status WorkerLoop::send(const wire::FromWorker& message) {
  return transport_.send(kControllerPeer, message.SerializeAsString());
}

}  // namespace jigsaw
