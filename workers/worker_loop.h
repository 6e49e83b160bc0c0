// A worker: takes sub-stages from the controller and runs them on its lanes until it is told to shut down. The thread
// that calls run() is the executor thread (workers/executor.h) and the only one that touches anything here.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/clock.h"
#include "core/process_watch.h"
#include "core/result.h"
#include "core/transport/peer_links.h"
#include "core/transport/transport.h"
#include "core/wire/messages.pb.h"
#include "core/wire/peer_messages.pb.h"
#include "workers/executor.h"
#include "workers/moves/rollout_moves.h"
#include "workers/pipeline_runtime.h"
#include "workers/reduction/gradient_exchange.h"
#include "workers/reduction/link_exchange.h"

namespace jigsaw {

struct WorkerOptions {
  PeerId worker = 1;
  int num_threads = 1;
  std::vector<int> cpus;                                // num_threads to bind to (cpus_for_worker), or none
  std::uint64_t memory_bytes_max = 0;                   // of all its pipelines
  bool exchanges_over_links = false;                    // gradients, from the start: where there is no MPI
  std::chrono::milliseconds start_timeout{120000};      // to be told to start
  std::chrono::milliseconds controller_timeout{60000};  // since the controller has last said anything
};

class WorkerLoop {
 public:
  // `transport` leads to the controller, `links` to the other workers.
  WorkerLoop(WorkerOptions options, Transport& transport, PeerLinks& links, MakeExchange make_exchange,
             const Clock& clock = system_clock());

  // Until Shutdown. An error has been told to the controller already, where it could be reached.
  Status run();
  // Whether there are other workers than at the start: gradients are then exchanged over the links.
  bool members_have_changed() const { return !link_exchanges_.empty(); }

 private:
  Status serve();
  Status receive_all(std::chrono::milliseconds wait);
  Status handle(const wire::ToWorker& message);
  Status on_start(const wire::Start& start);
  Status on_extend(const wire::Extend& extend);
  void forget_pipelines(std::size_t first);
  Status load(const Job& job, const std::vector<std::string>& resume_folders, const MakeExchange& make_exchange);
  Status admit(std::span<const PipelineConfig> configs, std::span<const PipelineMemory> memories) const;
  void release_memory_if_short();
  Status on_dispatch(const wire::Dispatch& dispatch);
  Result<std::unique_ptr<SubStage>> make_rollout(PipelineRuntime& runtime, const wire::Dispatch& dispatch);
  Status on_reshare(const wire::Reshare& reshare);
  void on_quiesce(const wire::Quiesce& quiesce);
  void exchange_over_links();
  Status on_members(const wire::Members& members);
  Status receive_from_peers();
  void handle_peer(PeerId from, const wire::PeerMessage& message);
  RolloutStage* rollout_at_rest(std::uint64_t node);
  void cancel(int pipeline);
  void give_up_moves(int pipeline);
  Status report_done();
  Status report_quiesced();
  Status check_controller() const;
  Status send_heartbeat_if_due();
  Status send(const wire::FromWorker& message);

  WorkerOptions options_;
  Transport& transport_;
  PeerLinks& links_;
  MakeExchange make_exchange_;
  const Clock& clock_;
  TokenBins bins_;
  std::vector<std::unique_ptr<PipelineRuntime>> pipelines_;
  std::vector<LinkExchange*> link_exchanges_;  // the pipelines' own, once members have changed
  Executor executor_;                          // after the pipelines, which its sub-stages refer to
  // Of dispatches that are rollouts: the executor's own.
  struct Rollout {
    int pipeline = 0;
    RolloutStage* stage = nullptr;
  };
  std::map<std::uint64_t, Rollout> rollouts_;  // by node
  // The longest quantum of the last sub-stage of a pipeline and kind of work: what one that starts is expected to need,
  // so that it does not come before its turn with a quantum that nobody can interrupt.
  using QuantumKey = std::pair<int, wire::Dispatch::WorkCase>;
  std::map<QuantumKey, double> quanta_s_;
  std::map<std::uint64_t, QuantumKey> quantum_keys_;  // by node, of those that are under way
  RolloutMoves moves_;
  std::vector<PeerId> peers_;
  ProcessWatch controller_;
  Clock::TimePoint last_heartbeat_{}, last_heard_{};
  std::optional<std::uint64_t> quiescing_;  // epoch
  bool shutdown_ = false;
};

}  // namespace jigsaw
