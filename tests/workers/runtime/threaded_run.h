// A job as it is run, in one process: a real controller, real workers on threads of their own, and links between them.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "core/transport/inproc_peer_links.h"
#include "core/transport/inproc_transport.h"
#include "scheduler/controller.h"
#include "tests/workers/trainer/temporary_folder.h"
#include "workers/job/pipeline_rules.h"
#include "workers/worker_loop.h"

namespace jigsaw {

inline PipelineSpec spec_of(const Job& job) {
  PipelineSpec spec = to_spec(job.config.pipelines[0], job.config.bins);
  spec.checkpoint_every = 0;
  return spec;
}

// Everything that was trained on, and what came of it.
struct Record : RunObserver {
  using Sample =
      std::tuple<std::vector<std::int32_t>, std::vector<float>, std::vector<float>, std::vector<std::uint32_t>, double>;
  std::map<std::pair<std::int64_t, std::uint32_t>, Sample> samples;
  std::vector<std::string> hashes;
  std::vector<std::array<double, 5>> metrics;  // loss, entropy, KL, share clipped, norm of each step

  Status on_step(const StepReport& report) override {
    hashes.push_back(report.weights_hash);
    metrics.push_back({report.loss, report.entropy, report.kl, report.clip_share, report.grad_norm});
    for (const wire::Trajectory& trajectory : report.trajectories) {
      samples[{report.step, trajectory.sample()}] = {
          {trajectory.tokens().begin(), trajectory.tokens().end()},
          {trajectory.logprobs().begin(), trajectory.logprobs().end()},
          {trajectory.ref_logprobs().begin(), trajectory.ref_logprobs().end()},
          {trajectory.given().begin(), trajectory.given().end()},
          trajectory.reward()};
    }
    return ok_status();
  }
  Status on_checkpoint(int, std::int64_t, const std::string&) override { return ok_status(); }
  void on_sample(int, std::int64_t, int, int) override {}
  void on_tick() override {}
};

struct Outcome {
  RunSummary summary;
  Record record;
};

// How a worker's links are to be seen, or disturbed; null = as they are.
using WrapLinks = std::function<std::unique_ptr<PeerLinks>(PeerId worker, std::unique_ptr<PeerLinks> links)>;

inline Outcome run(const std::string& yaml, int num_workers, std::unique_ptr<Policy> policy, int num_threads = 1,
                   const WrapLinks& wrap_links = nullptr) {
  const TemporaryFolder folder;
  Job job = *read_job(yaml, "job.yaml");
  InprocHub hub(num_workers);
  InprocLinkHub link_hub(num_workers);
  std::vector<std::jthread> threads;
  for (PeerId worker = 1; worker <= static_cast<PeerId>(num_workers); ++worker) {
    threads.emplace_back([&hub, &link_hub, &wrap_links, worker, num_threads] {
      const auto transport = hub.endpoint(worker);
      auto links = link_hub.links(worker);
      if (wrap_links) links = wrap_links(worker, std::move(links));
      WorkerOptions options;
      options.worker = worker;
      options.num_threads = num_threads;
      options.exchanges_over_links = true;
      WorkerLoop loop(options, *transport, *links, [](int) { return make_local_exchange(); });
      const Status status = loop.run();
      EXPECT_TRUE(status.ok()) << status.error().message();
    });
  }
  Outcome outcome;
  const auto transport = hub.endpoint(kControllerPeer);
  ControllerOptions options;
  options.job_yaml = job.yaml;
  options.job_name = "job.yaml";
  options.num_workers = num_workers;
  options.checkpoint_root = folder.path() / "checkpoints";
  Controller controller({spec_of(job)}, {StartPoint{}}, options, std::move(policy), *transport, outcome.record);
  const auto summary = controller.run();
  EXPECT_TRUE(summary.ok()) << summary.error().message();
  if (summary.ok()) outcome.summary = *summary;
  return outcome;
}

}  // namespace jigsaw
