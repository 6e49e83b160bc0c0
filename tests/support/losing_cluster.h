// A cluster whose workers may die at any message, in one thread and reproducible by seed: a Transport for the
// controller. Workers do no more than what the controller relies on: they send finished samples one by one, hand over
// to each other as many of them as chance will have it when they are told to, exchange gradients among the participants
// of an update and then apply it, each at a moment of its own, and answer Quiesce. "Weights" are a hash of all that has
// been trained, so that two runs that train the same end in the same.
#pragma once

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "core/check.h"
#include "core/transport/transport.h"
#include "core/wire/messages.pb.h"
#include "graph/pipeline_spec.h"
#include "graph/sub_stage_kind.h"
#include "tests/support/fake_clock.h"

namespace jigsaw {

class LosingCluster : public Transport {
 public:
  // `specs`: of all pipelines, also of those that are added later.
  LosingCluster(int num_workers, std::vector<PipelineSpec> specs, std::uint32_t seed, FakeClock& clock)
      : random_(seed), clock_(clock), specs_(std::move(specs)), workers_(static_cast<std::size_t>(num_workers) + 1) {
    for (PeerId worker = 1; worker < workers_.size(); ++worker) {
      wire::FromWorker hello;
      hello.mutable_hello()->set_worker(worker);
      reply(worker, hello);
    }
  }

  // A worker that joins; it may never say so, as may one that dies before.
  void add_worker(PeerId worker) {
    CHECK(worker == static_cast<PeerId>(workers_.size()));
    workers_.emplace_back();
    if (coin(death_chance)) {
      workers_[worker].dead = true;
      return;
    }
    wire::FromWorker hello;
    hello.mutable_hello()->set_worker(worker);
    reply(worker, hello);
  }

  // Of each event that a worker could die at.
  double death_chance = 0;
  int deaths_max = 0;
  int deaths = 0;
  int samples_moved = 0;

  Status send(PeerId to, std::string bytes) override {
    Worker& worker = workers_[to];
    if (worker.dead) {
      return coin(0.5) ? ok_status() : Status(Error(ErrorCode::kUnavailable, "worker " + std::to_string(to)));
    }
    wire::ToWorker message;
    CHECK(message.ParseFromString(bytes));
    if (message.has_start()) on_start(to, message.start());
    if (message.has_dispatch()) on_dispatch(to, message.dispatch());
    if (message.has_move()) on_move(to, message.move());
    if (message.has_extend()) worker.is_extending = true;
    if (message.has_forget())
      worker.state.erase(worker.state.lower_bound(message.forget().first_pipeline()), worker.state.end());
    if (message.has_quiesce()) on_quiesce(to, message.quiesce().epoch());
    return ok_status();
  }

  Result<std::optional<ReceivedMessage>> receive(std::chrono::milliseconds wait) override {
    if (outbox_.empty() && wait.count() == 0) return std::optional<ReceivedMessage>();
    if (outbox_.empty()) {
      clock_.advance(wait + std::chrono::milliseconds(1));
      for (PeerId worker = 1; worker < workers_.size(); ++worker) {
        wire::FromWorker heartbeat;
        heartbeat.mutable_heartbeat();
        reply(worker, heartbeat);
      }
      // A random piece of work of a random worker.
      std::vector<std::pair<PeerId, std::size_t>> pieces;
      for (PeerId worker = 1; worker < workers_.size(); ++worker) {
        for (std::size_t i = 0; i < workers_[worker].jobs.size(); ++i) {
          if (can_go_on(worker, workers_[worker].jobs[i])) pieces.emplace_back(worker, i);
        }
        if (workers_[worker].is_extending) pieces.emplace_back(worker, kExtending);
      }
      if (!pieces.empty()) {
        const auto [worker, job] = pieces[random_() % pieces.size()];
        if (deaths < deaths_max && started_ && coin(death_chance)) {
          die(static_cast<PeerId>(1 + random_() % (workers_.size() - 1)));  // also one that is joining
        }
        if (!workers_[worker].dead && job == kExtending) extend(worker);
        if (!workers_[worker].dead && job != kExtending) go_on(worker, job);
      }
      if (outbox_.empty()) return std::optional<ReceivedMessage>();
    }
    ReceivedMessage message = std::move(outbox_.front());
    outbox_.pop_front();
    return std::optional<ReceivedMessage>(std::move(message));
  }

 private:
  struct Job {
    wire::Dispatch dispatch;
    int samples_done = 0;
    bool told_tail = false;  // of a rollout
  };
  struct State {  // of a pipeline: what a checkpoint holds
    std::int64_t version = 0;
    std::map<std::int64_t, std::int64_t> copies = {{0, 0}};  // versions that rollouts can read, by place
    std::string weights = "first";
  };
  struct Worker {
    bool dead = false;
    bool is_extending = false;
    std::vector<Job> jobs;
    std::map<std::uint32_t, State> state;  // by pipeline
  };
  static constexpr std::size_t kExtending = ~std::size_t{0};  // a piece of work that is no job's
  using Attempt = std::pair<std::uint32_t, std::uint64_t>;    // pipeline, attempt

  bool coin(double chance) { return std::uniform_real_distribution<>(0, 1)(random_) < chance; }

  void reply(PeerId from, const wire::FromWorker& message) {
    if (!workers_[from].dead) outbox_.push_back({from, message.SerializeAsString()});
  }

  void on_start(PeerId to, const wire::Start& start) {
    wire::FromWorker message;
    Worker& worker = workers_[to];
    for (int i = 0; i < start.resume_folder_size(); ++i) {
      const auto pipeline = static_cast<std::uint32_t>(i);
      worker.state[pipeline] = start.resume_folder(i).empty() ? State() : saved_.at(start.resume_folder(i));
      message.mutable_ready()->add_policy_version(worker.state[pipeline].version);
      message.mutable_ready()->add_weights_hash(worker.state[pipeline].weights);
    }
    reply(to, message);
    started_ = true;
  }

  // One pipeline more.
  void extend(PeerId from) {
    Worker& worker = workers_[from];
    worker.is_extending = false;
    wire::FromWorker message;
    if (coin(0.1)) {
      message.mutable_extended()->set_error("no room");
    } else {
      const State& state = worker.state[static_cast<std::uint32_t>(worker.state.size())] = State();
      message.mutable_extended()->add_policy_version(state.version);
      message.mutable_extended()->add_weights_hash(state.weights);
    }
    reply(from, message);
  }

  void on_dispatch(PeerId to, const wire::Dispatch& dispatch) {
    Worker& worker = workers_[to];
    if (dispatch.has_rollout()) CHECK(dispatch.rollout().samples_size() > 0);
    if (dispatch.has_update()) {
      CHECK(dispatch.update().update() == worker.state[dispatch.pipeline()].version);
      CHECK(std::ranges::find(dispatch.update().participants(), to) != dispatch.update().participants().end());
      started_updates_[{dispatch.pipeline(), dispatch.update().attempt()}].insert(to);
      wire::FromWorker message;
      message.mutable_summed()->set_node(dispatch.node());
      if (coin(0.5)) reply(to, message);
    }
    worker.jobs.push_back({.dispatch = dispatch});
  }

  Job* job_of(PeerId worker, std::uint64_t node) {
    const auto job =
        std::ranges::find_if(workers_[worker].jobs, [&](const Job& some) { return some.dispatch.node() == node; });
    return job == workers_[worker].jobs.end() ? nullptr : &*job;
  }

  void on_move(PeerId from, const wire::MoveRollouts& move) {
    wire::FromWorker message;
    wire::RolloutsMoved& moved = *message.mutable_moved();
    moved.set_node(move.node());
    moved.set_to_node(move.to_node());
    Job* source = job_of(from, move.node());
    Job* target = job_of(move.to_worker(), move.to_node());
    if (source != nullptr) {
      auto& samples = *source->dispatch.mutable_rollout()->mutable_samples();
      for (int i = samples.size() - 1; i >= source->samples_done && target != nullptr; --i) {
        if (coin(0.3)) continue;  // refused, or ended meanwhile
        moved.add_samples(samples[i]);
        target->dispatch.mutable_rollout()->add_samples(samples[i]);
        samples.erase(samples.begin() + i);
        ++samples_moved;
      }
      moved.set_num_left(static_cast<std::uint32_t>(samples.size() - source->samples_done));
    }
    reply(from, message);
  }

  // All decoding is a tail's.
  void tell_tail(PeerId from, const Job& job) {
    wire::FromWorker entered;
    entered.mutable_entered()->set_node(job.dispatch.node());
    entered.mutable_entered()->set_kind(static_cast<std::uint32_t>(SubStageKind::kDecodeTail));
    reply(from, entered);
    wire::FromWorker progress;
    progress.mutable_progress()->set_node(job.dispatch.node());
    progress.mutable_progress()->set_running(static_cast<std::uint32_t>(job.dispatch.rollout().samples_size()));
    progress.mutable_progress()->set_mean_tokens(1);
    reply(from, progress);
  }

  void on_quiesce(PeerId to, std::uint64_t epoch) {
    Worker& worker = workers_[to];
    if (worker.is_extending) extend(to);  // which it was told to before
    for (std::size_t i = worker.jobs.size(); i-- > 0;) {
      const wire::Dispatch& dispatch = worker.jobs[i].dispatch;
      if (dispatch.has_checkpoint() || dispatch.has_sync()) {
        go_on(to, i);  // to its end
        continue;
      }
      wire::FromWorker message;
      message.mutable_node_done()->set_node(dispatch.node());
      message.mutable_node_done()->set_cancelled(true);
      for (int sample = worker.jobs[i].samples_done; sample < dispatch.rollout().samples_size(); ++sample) {
        if (!coin(0.5)) continue;
        wire::PartialRollout& partial = *message.mutable_node_done()->add_partials();
        partial.set_sample(dispatch.rollout().samples(sample));
        partial.add_tokens(1);
        partial.add_logprobs(-1);
      }
      reply(to, message);
      worker.jobs.erase(worker.jobs.begin() + static_cast<std::ptrdiff_t>(i));
    }
    wire::FromWorker message;
    message.mutable_quiesced()->set_epoch(epoch);
    reply(to, message);
  }

  // What it had under way is gone. Of an exchange that everybody was in, some may have got all they need.
  void die(PeerId worker) {
    if (workers_[worker].dead) return;
    for (const Job& job : workers_[worker].jobs) {
      if (!job.dispatch.has_update()) continue;
      const Attempt attempt{job.dispatch.pipeline(), job.dispatch.update().attempt()};
      if (!everybody_is_in(job.dispatch)) continue;
      for (const PeerId peer : job.dispatch.update().participants()) {
        if (coin(0.5)) has_gradient_.insert({attempt, peer});
      }
    }
    workers_[worker].dead = true;
    workers_[worker].is_extending = false;
    workers_[worker].jobs.clear();
    ++deaths;
  }

  bool everybody_is_in(const wire::Dispatch& dispatch) {
    const auto& started = started_updates_[{dispatch.pipeline(), dispatch.update().attempt()}];
    return std::ranges::all_of(dispatch.update().participants(), [&](std::uint32_t worker) {
      return started.contains(worker) && !workers_[worker].dead;
    });
  }

  bool can_go_on(PeerId worker, const Job& job) {
    if (!job.dispatch.has_update()) return true;
    const Attempt attempt{job.dispatch.pipeline(), job.dispatch.update().attempt()};
    if (everybody_is_in(job.dispatch)) {
      for (const PeerId peer : job.dispatch.update().participants()) has_gradient_.insert({attempt, peer});
    }
    return has_gradient_.contains({attempt, worker});
  }

  void go_on(PeerId from, std::size_t index) {
    Worker& worker = workers_[from];
    Job& job = worker.jobs[index];
    const wire::Dispatch& dispatch = job.dispatch;
    if (dispatch.has_rollout() && !job.told_tail) {
      job.told_tail = true;
      return tell_tail(from, job);
    }
    if (dispatch.has_rollout() && job.samples_done < dispatch.rollout().samples_size()) {
      const State& state = worker.state[dispatch.pipeline()];
      CHECK(can_read(dispatch.pipeline(), state, dispatch.rollout().policy_version()));
      wire::FromWorker message;
      message.mutable_trajectory()->set_node(dispatch.node());
      wire::Trajectory& trajectory = *message.mutable_trajectory()->mutable_trajectory();
      const std::uint32_t sample = dispatch.rollout().samples(job.samples_done++);
      trajectory.set_sample(sample);
      trajectory.set_prompt_length(1);
      trajectory.add_tokens(static_cast<std::int32_t>(dispatch.step()));
      trajectory.add_tokens(static_cast<std::int32_t>(sample));
      trajectory.add_logprobs(-1);
      trajectory.set_policy_version(dispatch.rollout().policy_version());
      reply(from, message);
      return;
    }
    wire::FromWorker message;
    wire::NodeDone& done = *message.mutable_node_done();
    done.set_node(dispatch.node());
    done.set_busy_s(0.01);
    for (const wire::Trajectory& trajectory : dispatch.logprob().trajectories()) {
      wire::Trajectory& scored = *done.add_trajectories();
      scored.set_sample(trajectory.sample());
      for (int i = 0; i < trajectory.logprobs_size(); ++i) scored.add_ref_logprobs(-2);
    }
    if (dispatch.has_sync()) sync(worker, dispatch.pipeline(), dispatch.sync().policy_version());
    if (dispatch.has_checkpoint()) save(dispatch, worker.state[dispatch.pipeline()]);
    if (dispatch.has_update()) apply(worker, dispatch, *done.mutable_update());
    reply(from, message);
    worker.jobs.erase(worker.jobs.begin() + static_cast<std::ptrdiff_t>(index));
  }

  void apply(Worker& worker, const wire::Dispatch& dispatch, wire::UpdateStats& stats) {
    State& state = worker.state[dispatch.pipeline()];
    const PipelineSpec& spec = specs_[dispatch.pipeline()];
    if (spec.staleness > 0 && state.version % spec.updates_per_step == 0) {
      sync(worker, dispatch.pipeline(), state.version);
    }
    std::string text = state.weights;
    for (const wire::Trajectory& trajectory : dispatch.update().trajectories()) {
      text += "," + std::to_string(trajectory.tokens(0)) + ":" + std::to_string(trajectory.tokens(1)) + "v" +
              std::to_string(trajectory.policy_version()) + "r" + std::to_string(trajectory.ref_logprobs_size());
    }
    state.weights = std::to_string(std::hash<std::string>()(text));
    stats.set_policy_version(++state.version);
    stats.add_losses()->set_num_tokens(1);
    stats.set_weights_hash(state.weights);
  }

  std::int64_t place_of(std::uint32_t pipeline, std::int64_t version) const {
    const PipelineSpec& spec = specs_[pipeline];
    return version / spec.updates_per_step % spec.staleness;
  }

  bool can_read(std::uint32_t pipeline, const State& state, std::int64_t version) const {
    if (specs_[pipeline].staleness == 0) return version == state.version;
    const auto copy = state.copies.find(place_of(pipeline, version));
    return copy != state.copies.end() && copy->second == version;
  }

  void sync(Worker& worker, std::uint32_t pipeline, std::int64_t version) {
    State& state = worker.state[pipeline];
    if (can_read(pipeline, state, version)) return;
    CHECK(version == state.version);
    for (const Job& job : worker.jobs) {
      if (!job.dispatch.has_rollout() || job.dispatch.pipeline() != pipeline) continue;
      CHECK_MSG(place_of(pipeline, job.dispatch.rollout().policy_version()) != place_of(pipeline, version),
                "weights are replaced that a rollout reads");
    }
    state.copies[place_of(pipeline, version)] = version;
  }

  // With all that the rollouts after it need.
  void save(const wire::Dispatch& dispatch, const State& state) {
    const PipelineSpec& spec = specs_[dispatch.pipeline()];
    for (std::int64_t steps = 1; steps <= spec.staleness; ++steps) {
      const std::int64_t version = std::max<std::int64_t>(state.version - steps * spec.updates_per_step, 0);
      CHECK_MSG(can_read(dispatch.pipeline(), state, version), "a checkpoint lacks version " + std::to_string(version));
    }
    saved_[dispatch.checkpoint().folder()] = state;
  }

  std::mt19937 random_;
  FakeClock& clock_;
  std::vector<PipelineSpec> specs_;
  bool started_ = false;
  std::vector<Worker> workers_;  // [0] unused
  std::deque<ReceivedMessage> outbox_;
  std::map<Attempt, std::set<PeerId>> started_updates_;
  std::set<std::pair<Attempt, PeerId>> has_gradient_;
  std::map<std::string, State> saved_;  // checkpoints, by folder
};

}  // namespace jigsaw
