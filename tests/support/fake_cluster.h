// Workers as the controller sees them, without processes or threads: a Transport that answers each dispatch from a
// queue. Time stands still but for what receive() waits. Faults are injected by the public fields.
#pragma once

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "core/transport/transport.h"
#include "core/wire/messages.pb.h"
#include "tests/support/fake_clock.h"

namespace jigsaw {

class FakeCluster : public Transport {
 public:
  FakeCluster(int num_workers, FakeClock& clock) : num_workers_(num_workers), clock_(clock) {
    for (PeerId worker = 1; worker <= static_cast<PeerId>(num_workers); ++worker) {
      wire::FromWorker hello;
      hello.mutable_hello()->set_worker(worker);
      reply(worker, hello);
    }
  }

  // A worker that joins. `connects`: whether it ever says so.
  void add_worker(PeerId worker, bool connects = true) {
    CHECK(worker == static_cast<PeerId>(++num_workers_));
    if (!connects) silent.insert(worker);
    wire::FromWorker hello;
    hello.mutable_hello()->set_worker(worker);
    reply(worker, hello);
  }

  std::set<PeerId> silent;             // say nothing from now on
  std::string other_hash_of_worker_2;  // what worker 2 claims after an update
  bool double_sample = false;          // the first sample is sent twice
  std::string other_hash_when_ready;   // what workers that start claim from now on
  std::string failure;                 // worker 1 fails with this at its next dispatch
  std::string checkpoint_warning;
  std::function<void()> on_checkpoint;  // a worker is told to write one; may be null
  // Dispatches that are answered once this is false of them and nothing else happens; may be null.
  std::function<bool(PeerId, const wire::Dispatch&)> holds;
  int num_added = 1;                          // pipelines that an Extend brings
  std::map<PeerId, std::string> cannot_load;  // what workers say of an Extend
  std::vector<PeerId> loads_forever;          // of an Extend
  std::vector<std::uint32_t> forgotten;       // Forget messages
  int hold_after = -1;                        // dispatches answered before workers stop answering; -1 = all

  std::vector<std::string> log;                                                       // "rollout@1 p0 s1"
  std::map<std::pair<std::uint32_t, std::int64_t>, std::vector<PeerId>> slot_owners;  // by pipeline, step
  std::vector<std::string> resumed_from;
  std::vector<std::string> turned_away;  // reasons
  int shutdowns = 0;
  int cancels = 0;

  Status send(PeerId to, std::string bytes) override {
    wire::ToWorker message;
    CHECK(message.ParseFromString(bytes));
    if (message.has_start()) on_start(to, message.start());
    if (message.has_dispatch()) on_dispatch(to, message.dispatch());
    if (message.has_quiesce()) on_quiesce(to, message.quiesce().epoch());
    if (message.has_cancel()) on_cancel(to, message.cancel().pipeline());
    if (message.has_extend()) on_extend(to);
    if (message.has_forget()) forgotten.push_back(message.forget().first_pipeline());
    if (message.has_shutdown()) ++shutdowns;
    if (!message.shutdown().reason().empty()) turned_away.push_back(message.shutdown().reason());
    return ok_status();
  }

  Result<std::optional<ReceivedMessage>> receive(std::chrono::milliseconds wait) override {
    if (queue_.empty() && holds) {
      std::erase_if(held_, [&](const auto& held) {
        if (holds(held.first, held.second)) return false;
        answer(held.first, held.second);
        return true;
      });
    }
    if (queue_.empty()) {
      if (wait.count() == 0) return std::optional<ReceivedMessage>();
      clock_.advance(wait);
      for (PeerId worker = 1; worker <= static_cast<PeerId>(num_workers_); ++worker) {
        wire::FromWorker heartbeat;
        heartbeat.mutable_heartbeat()->set_waiting_for(worker == 1 ? "reward 'judge'" : "");
        reply(worker, heartbeat);
      }
      if (queue_.empty()) return std::optional<ReceivedMessage>();
    }
    ReceivedMessage message = std::move(queue_.front());
    queue_.pop_front();
    return std::optional<ReceivedMessage>(std::move(message));
  }

 private:
  void reply(PeerId from, const wire::FromWorker& message) {
    if (!silent.contains(from)) queue_.push_back({from, message.SerializeAsString()});
  }

  void on_start(PeerId worker, const wire::Start& start) {
    wire::FromWorker message;
    for (int pipeline = 0; pipeline < start.resume_folder_size(); ++pipeline) {
      const std::int64_t version = versions_[static_cast<std::uint32_t>(pipeline)];
      message.mutable_ready()->add_policy_version(version);
      message.mutable_ready()->add_weights_hash(!other_hash_when_ready.empty() ? other_hash_when_ready
                                                                               : hash_of(version));
      if (worker == 1) resumed_from.push_back(start.resume_folder(pipeline));
    }
    reply(worker, message);
  }

  void on_extend(PeerId worker) {
    if (std::ranges::find(loads_forever, worker) != loads_forever.end()) return;
    wire::FromWorker message;
    const auto problem = cannot_load.find(worker);
    message.mutable_extended()->set_error(problem == cannot_load.end() ? "" : problem->second);
    for (int i = 0; i < num_added && problem == cannot_load.end(); ++i) {
      message.mutable_extended()->add_policy_version(0);
      message.mutable_extended()->add_weights_hash(worker == 2 && !other_hash_when_ready.empty() ? other_hash_when_ready
                                                                                                 : "first");
    }
    reply(worker, message);
  }

  void on_dispatch(PeerId worker, const wire::Dispatch& dispatch) {
    static const std::map<int, std::string> kinds = {{wire::Dispatch::kRollout, "rollout"},
                                                     {wire::Dispatch::kLogprob, "logprob"},
                                                     {wire::Dispatch::kUpdate, "update"},
                                                     {wire::Dispatch::kCheckpoint, "checkpoint"},
                                                     {wire::Dispatch::kSync, "sync"}};
    if (dispatch.has_checkpoint() && on_checkpoint) on_checkpoint();
    log.push_back(kinds.at(dispatch.work_case()) + "@" + std::to_string(worker) + " p" +
                  std::to_string(dispatch.pipeline()) + " s" + std::to_string(dispatch.step()));
    if (dispatch.has_update()) {
      slot_owners[{dispatch.pipeline(), dispatch.step()}].assign(dispatch.update().slot_owner().begin(),
                                                                 dispatch.update().slot_owner().end());
    }
    if ((hold_after == 0 && !dispatch.has_checkpoint()) || (holds && holds(worker, dispatch))) {
      held_.emplace_back(worker, dispatch);
      return;
    }
    if (hold_after > 0) --hold_after;
    if (!failure.empty() && worker == 1) {
      wire::FromWorker message;
      message.mutable_failed()->set_message(failure);
      reply(worker, message);
      return;
    }
    answer(worker, dispatch);
  }

  void on_cancel(PeerId worker, std::uint32_t pipeline) {
    ++cancels;
    std::erase_if(held_, [&](const auto& held) {
      return held.first == worker && held.second.pipeline() == pipeline && cancelled(worker, held.second);
    });
  }

  void on_quiesce(PeerId worker, std::uint64_t epoch) {
    std::erase_if(held_, [&](const auto& held) { return held.first == worker && cancelled(worker, held.second); });
    wire::FromWorker message;
    message.mutable_quiesced()->set_epoch(epoch);
    reply(worker, message);
    hold_after = -1;
  }

  bool cancelled(PeerId worker, const wire::Dispatch& dispatch) {
    wire::FromWorker message;
    message.mutable_node_done()->set_node(dispatch.node());
    message.mutable_node_done()->set_cancelled(true);
    reply(worker, message);
    return true;
  }

  void answer(PeerId worker, const wire::Dispatch& dispatch) {
    for (const std::uint32_t sample : dispatch.rollout().samples()) {
      wire::FromWorker message;
      message.mutable_trajectory()->set_node(dispatch.node());
      wire::Trajectory& trajectory = *message.mutable_trajectory()->mutable_trajectory();
      trajectory.set_sample(sample);
      trajectory.set_prompt_length(1);
      for (int i = 0; i < 3; ++i) trajectory.add_tokens(i);
      for (int i = 0; i < 2; ++i) trajectory.add_logprobs(-1);
      trajectory.set_reward(static_cast<double>(sample));
      reply(worker, message);
      if (double_sample) reply(worker, message);
      double_sample = false;
    }
    wire::FromWorker message;
    wire::NodeDone& done = *message.mutable_node_done();
    done.set_node(dispatch.node());
    done.set_busy_s(0.5);
    for (const wire::Trajectory& trajectory : dispatch.logprob().trajectories()) {
      wire::Trajectory& scored = *done.add_trajectories();
      scored.set_sample(trajectory.sample());
      for (int i = 0; i < trajectory.logprobs_size(); ++i) scored.add_ref_logprobs(-2);
    }
    if (dispatch.has_update()) {
      wire::UpdateStats& stats = *done.mutable_update();
      stats.set_policy_version(dispatch.update().update() + 1);
      wire::LossStats& losses = *stats.add_losses();
      losses.set_place(worker);
      losses.set_num_tokens(dispatch.update().trajectories_size() * 2 / num_workers_);
      const bool other = worker == 2 && !other_hash_of_worker_2.empty();
      stats.set_weights_hash(other ? other_hash_of_worker_2 : hash_of(stats.policy_version()));
      versions_[dispatch.pipeline()] = stats.policy_version();
    }
    if (dispatch.has_checkpoint()) done.set_warning(checkpoint_warning);
    reply(worker, message);
  }

  static std::string hash_of(std::int64_t version) {
    return version == 0 ? "first" : "hash-" + std::to_string(version);
  }

  int num_workers_;
  FakeClock& clock_;
  std::deque<ReceivedMessage> queue_;
  std::vector<std::pair<PeerId, wire::Dispatch>> held_;
  std::map<std::uint32_t, std::int64_t> versions_;  // by pipeline
};

}  // namespace jigsaw
