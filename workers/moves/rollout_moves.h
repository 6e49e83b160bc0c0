// Moves samples of running rollouts between workers: where a rollout's sequences (workers/stages/rollout_stage.h) meet
// transfers (migration/transfer_service.h). The controller says which rollout hands over to which (MoveRollouts) and
// hears what came of it (RolloutsMoved).
//
// Executor thread only. Touches a rollout between its quanta: a sequence that moves holds up the others of its engine
// for the quantum under way, at most.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "core/clock.h"
#include "core/result.h"
#include "core/transport/peer_links.h"
#include "core/wire/messages.pb.h"
#include "migration/move_cost.h"
#include "migration/transfer_service.h"
#include "workers/job/job_config.h"
#include "workers/stages/rollout_stage.h"

namespace jigsaw {

class RolloutMoves : private TransferHost {
 public:
  struct Callbacks {
    // The rollout that was dispatched as `node`, at rest: no quantum of it runs. Null when there is none (any more).
    std::function<RolloutStage*(std::uint64_t node)> rollout_at_rest;
    std::function<Status(const wire::RolloutsMoved&)> on_moved;
  };

  // `links` outlives it.
  RolloutMoves(PeerLinks& links, Callbacks callbacks, const Clock& clock);

  void set_way(MergeBy way) { way_ = way; }
  void begin(const wire::MoveRollouts& move);
  // As TransferService::on_frame().
  bool on_frame(PeerId from, MessageBytes& frame, const PeerFrame& decoded) {
    return service_.on_frame(from, frame, decoded);
  }
  void on_peer_lost(PeerId peer) { service_.on_peer_lost(peer); }
  // Before this rollout is cancelled or abandoned: nothing of it moves any more, and the controller hears no more of
  // its moves. The partial rollouts that it tells of hold what was on its way from here.
  void give_up(std::uint64_t node);
  Status serve();

 private:
  struct Move {
    std::uint64_t node = 0, to_node = 0;
    PeerId to = 0;
    std::vector<std::uint64_t> waiting;  // samples that are not offered yet, the next one last
    int num_open = 0;
    wire::RolloutsMoved report;
  };
  struct Outgoing {
    std::uint64_t node = 0, sample = 0;
    std::uint32_t chunks_max = 0;
    bool by_kv_copy = false;
    std::uint64_t payload_bytes = 0;
    Clock::TimePoint frozen_at{};
  };

  std::vector<std::string> freeze(TransferId id) override;
  void on_moved(TransferId id) override;
  void on_taken_back(TransferId id, const std::string& reason) override;
  Status reserve(TransferTarget::Key key, const TransferTerms& terms) override;
  Status activate(TransferTarget::Key key, const TransferTerms& terms, const ReceivedPayload& payload) override;
  void drop(TransferTarget::Key key, const std::string& reason) override;

  void offer_waiting(Move& move);
  bool should_copy(RolloutStage& rollout, std::size_t num_tokens);
  void ended(const Outgoing& outgoing);

  Callbacks callbacks_;
  const Clock& clock_;
  TransferService service_;
  MergeBy way_ = MergeBy::kAuto;
  MoveCost cost_;
  std::map<std::uint64_t, Move> moves_;  // by node
  std::map<TransferId, Outgoing> outgoing_;
  std::map<TransferTarget::Key, std::uint64_t> incoming_;  // reserved: the rollout that is to have it
};

}  // namespace jigsaw
