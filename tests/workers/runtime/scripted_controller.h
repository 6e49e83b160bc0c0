// A worker on a thread of its own, and a controller that does what a test says.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "core/transport/inproc_peer_links.h"
#include "core/transport/inproc_transport.h"
#include "workers/worker_loop.h"

namespace jigsaw {

class ScriptedController {
 public:
  struct Done {
    wire::NodeDone done;
    std::vector<wire::Trajectory> trajectories;  // by sample
    std::vector<wire::RolloutEntered> entered;
  };

  ScriptedController(std::string job_yaml, WorkerOptions options, const std::vector<std::string>& resume_folders = {}) {
    thread_ = std::jthread([this, options] {
      WorkerLoop loop(options, *worker_end_, *links_, [](int) { return make_local_exchange(); });
      if (const Status status = loop.run(); !status.ok()) worker_error = status.error().message();
    });
    wire::ToWorker message;
    message.mutable_start()->set_job_yaml(std::move(job_yaml));
    message.mutable_start()->set_job_name("job.yaml");
    message.mutable_start()->set_num_workers(1);
    for (const std::string& folder : resume_folders) message.mutable_start()->add_resume_folder(folder);
    send(message);
    while (!ready_ && worker_failed_.empty()) receive();
  }
  ~ScriptedController() { shut_down(); }

  // Joins the worker; its error is in worker_error.
  void shut_down() {
    if (!thread_.joinable()) return;
    wire::ToWorker message;
    message.mutable_shutdown();
    if (worker_failed_.empty()) send(message);
    thread_.join();
  }

  std::uint64_t rollout(int pipeline, std::int64_t step, std::int64_t version, std::uint32_t num_samples) {
    wire::Dispatch dispatch;
    dispatch.mutable_rollout()->set_policy_version(version);
    for (std::uint32_t i = 0; i < num_samples; ++i) dispatch.mutable_rollout()->add_samples(i);
    return start(std::move(dispatch), pipeline, step);
  }
  std::uint64_t logprob(int pipeline, std::int64_t step, const std::vector<wire::Trajectory>& trajectories) {
    wire::Dispatch dispatch;
    for (const wire::Trajectory& trajectory : trajectories) {
      *dispatch.mutable_logprob()->add_trajectories() = trajectory;
    }
    return start(std::move(dispatch), pipeline, step);
  }
  std::uint64_t update(int pipeline, std::int64_t step, std::int64_t version,
                       const std::vector<wire::Trajectory>& trajectories, int num_slots) {
    wire::Dispatch dispatch;
    dispatch.mutable_update()->set_update(version);
    for (const wire::Trajectory& trajectory : trajectories) *dispatch.mutable_update()->add_trajectories() = trajectory;
    for (int slot = 0; slot < num_slots; ++slot) dispatch.mutable_update()->add_slot_owner(1);
    return start(std::move(dispatch), pipeline, step);
  }
  std::uint64_t sync(int pipeline, std::int64_t step, std::int64_t version) {
    wire::Dispatch dispatch;
    dispatch.mutable_sync()->set_policy_version(version);
    return start(std::move(dispatch), pipeline, step);
  }
  std::uint64_t checkpoint(int pipeline, std::int64_t step, const std::string& folder) {
    wire::Dispatch dispatch;
    dispatch.mutable_checkpoint()->set_folder(folder);
    dispatch.mutable_checkpoint()->set_state_json("{}");
    return start(std::move(dispatch), pipeline, step);
  }
  void cancel(int pipeline) {
    wire::ToWorker message;
    message.mutable_cancel()->set_pipeline(static_cast<std::uint32_t>(pipeline));
    send(message);
  }
  void reshare(std::uint64_t node, double share) {
    wire::ToWorker message;
    message.mutable_reshare()->set_node(node);
    message.mutable_reshare()->set_share(share);
    send(message);
  }

  // Until these are done; false when the worker failed or said nothing for long.
  bool wait(const std::vector<std::uint64_t>& nodes) {
    for (const std::uint64_t node : nodes) {
      while (!done_.contains(node)) {
        if (!worker_failed_.empty() || !receive()) return false;
      }
    }
    return true;
  }
  const Done& done(std::uint64_t node) const { return done_.at(node); }
  std::string worker_error;

 private:
  std::uint64_t start(wire::Dispatch dispatch, int pipeline, std::int64_t step) {
    dispatch.set_node(++last_node_);
    dispatch.set_pipeline(static_cast<std::uint32_t>(pipeline));
    dispatch.set_step(step);
    dispatch.set_share(1);
    wire::ToWorker message;
    *message.mutable_dispatch() = std::move(dispatch);
    send(message);
    return last_node_;
  }
  void send(const wire::ToWorker& message) { EXPECT_TRUE(own_end_->send(1, message.SerializeAsString()).ok()); }

  // One message; heartbeats come every second.
  bool receive() {
    const auto received = own_end_->receive(std::chrono::seconds(20));
    if (!received.ok() || !*received) return false;
    wire::FromWorker message;
    if (!(*received)->bytes.parse_into(message)) return false;
    if (message.has_ready()) ready_ = true;
    if (message.has_failed()) worker_failed_ = message.failed().message();
    if (message.has_entered()) under_way_[message.entered().node()].entered.push_back(message.entered());
    if (message.has_trajectory()) {
      under_way_[message.trajectory().node()].trajectories.push_back(message.trajectory().trajectory());
    }
    if (message.has_node_done()) {
      Done& done = done_[message.node_done().node()] = std::move(under_way_[message.node_done().node()]);
      done.done = message.node_done();
      std::ranges::sort(done.trajectories, {}, &wire::Trajectory::sample);
    }
    return true;
  }

  InprocHub hub_{1};
  InprocLinkHub link_hub_{1};
  std::unique_ptr<PeerLinks> links_ = link_hub_.links(1);
  std::unique_ptr<Transport> own_end_ = hub_.endpoint(0), worker_end_ = hub_.endpoint(1);
  bool ready_ = false;
  std::string worker_failed_;
  std::uint64_t last_node_ = 0;
  std::map<std::uint64_t, Done> under_way_, done_;
  std::jthread thread_;
};

}  // namespace jigsaw
