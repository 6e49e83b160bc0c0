#include "workers/moves/rollout_moves.h"

#include <algorithm>
#include <utility>

#include "core/log.h"
#include "rollout/engine/kv_block_pool.h"
#include "workers/moves/sequence_payload.h"

namespace jigsaw {
namespace {

// Between its offer and its freezing a sequence gets on by a few tokens.
constexpr std::size_t kTokensMeanwhileMax = 64;

double seconds_since(Clock::TimePoint begin, Clock::TimePoint now) {
  return std::chrono::duration<double>(now - begin).count();
}

// Of all blocks that so many tokens can fill.
std::size_t kv_bytes_at_most(RolloutStage& rollout, std::size_t num_tokens) {
  const auto num_blocks = static_cast<std::size_t>(num_blocks_for(static_cast<int>(num_tokens)));
  return num_blocks * rollout.runtime().engine().kv_block_bytes();
}

}  // namespace

RolloutMoves::RolloutMoves(PeerLinks& links, Callbacks callbacks, const Clock& clock)
    : callbacks_(std::move(callbacks)), clock_(clock), service_(links, *this, clock) {}

void RolloutMoves::begin(const wire::MoveRollouts& wanted) {
  Move& move = moves_[wanted.node()];
  if (move.node != 0) return;  // the one under way goes on
  move.node = wanted.node();
  move.to_node = wanted.to_node();
  move.to = wanted.to_worker();
  move.report.set_node(move.node);
  move.report.set_to_node(move.to_node);
  if (RolloutStage* rollout = callbacks_.rollout_at_rest(move.node)) move.waiting = rollout->running_samples();
  std::ranges::reverse(move.waiting);
}

bool RolloutMoves::should_copy(RolloutStage& rollout, std::size_t num_tokens) {
  if (way_ != MergeBy::kAuto) return way_ == MergeBy::kKvCopy;
  const RolloutStage::PrefillRate prefill = rollout.take_prefill_rate();
  if (prefill.rows > 0) cost_.on_prefilled(prefill.rows, prefill.seconds);
  return cost_.choose(kv_bytes_at_most(rollout, num_tokens), static_cast<std::int64_t>(num_tokens)) == MoveWay::kKvCopy;
}

void RolloutMoves::offer_waiting(Move& move) {
  while (!move.waiting.empty() && service_.may_offer()) {
    const std::uint64_t sample = move.waiting.back();
    move.waiting.pop_back();
    RolloutStage* rollout = callbacks_.rollout_at_rest(move.node);
    const auto num_tokens = rollout == nullptr ? std::nullopt : rollout->num_tokens(sample);
    if (!num_tokens) continue;  // it has ended meanwhile
    const std::size_t tokens_max = *num_tokens + kTokensMeanwhileMax;
    Outgoing outgoing{.node = move.node, .sample = sample};
    outgoing.by_kv_copy = should_copy(*rollout, *num_tokens);
    const std::size_t kv_bytes = outgoing.by_kv_copy ? kv_bytes_at_most(*rollout, tokens_max) : 0;
    outgoing.chunks_max = num_chunks_for(payload_bytes_at_most(tokens_max, kv_bytes));
    const TransferId id = service_.offer(move.to, {.to_node = move.to_node,
                                                   .sample = static_cast<std::uint32_t>(sample),
                                                   .num_tokens = static_cast<std::uint32_t>(*num_tokens),
                                                   .chunks_max = outgoing.chunks_max});
    outgoing_[id] = outgoing;
    ++move.num_open;
  }
}

std::vector<std::string> RolloutMoves::freeze(TransferId id) {
  Outgoing& outgoing = outgoing_.at(id);
  RolloutStage* rollout = callbacks_.rollout_at_rest(outgoing.node);
  if (rollout == nullptr) return {};
  auto snapshot = rollout->snapshot(outgoing.sample);
  if (!snapshot) return {};
  const RolloutEngine& engine = rollout->runtime().engine();
  auto kv = outgoing.by_kv_copy ? engine.sequence_kv(outgoing.sample) : std::nullopt;
  const auto bytes = [&] {
    return payload_bytes_at_most(static_cast<std::size_t>(snapshot->tokens_size()),
                                 kv ? kv->blocks.size() * kv->block_floats * sizeof(float) : 0);
  };
  if (num_chunks_for(bytes()) > outgoing.chunks_max) kv.reset();
  if (num_chunks_for(bytes()) > outgoing.chunks_max) return {};
  outgoing.by_kv_copy = kv.has_value();
  outgoing.payload_bytes = bytes();
  outgoing.frozen_at = clock_.now();
  // fp32 keys and values give a compressor little to find, and tokens and log-probs are small.
  std::vector<std::string> frames = encode_sequence(id, *std::move(snapshot), kv ? &*kv : nullptr, Compression::kNone);
  CHECK(rollout->take_out(outgoing.sample));
  return frames;
}

void RolloutMoves::on_moved(TransferId id) {
  const Outgoing outgoing = outgoing_.extract(id).mapped();
  const double pause_s = seconds_since(outgoing.frozen_at, clock_.now());
  if (outgoing.by_kv_copy) cost_.on_copied(outgoing.payload_bytes, pause_s);
  callbacks_.rollout_at_rest(outgoing.node)->give_away(outgoing.sample);
  wire::RolloutsMoved& report = moves_.at(outgoing.node).report;
  report.add_samples(static_cast<std::uint32_t>(outgoing.sample));
  report.set_num_by_kv_copy(report.num_by_kv_copy() + (outgoing.by_kv_copy ? 1 : 0));
  report.set_pause_s(std::max(report.pause_s(), pause_s));
  --moves_.at(outgoing.node).num_open;
}

void RolloutMoves::on_taken_back(TransferId id, const std::string& reason) {
  const Outgoing outgoing = outgoing_.extract(id).mapped();
  log_info("rollout.stays", "sample={} reason=\"{}\"", outgoing.sample, reason);
  if (outgoing.frozen_at != Clock::TimePoint{}) {
    callbacks_.rollout_at_rest(outgoing.node)->put_back(outgoing.sample);
  }
  --moves_.at(outgoing.node).num_open;
}

Status RolloutMoves::reserve(TransferTarget::Key key, const TransferTerms& terms) {
  RolloutStage* rollout = callbacks_.rollout_at_rest(terms.to_node);
  if (rollout == nullptr) return Error(ErrorCode::kUnavailable, "the rollout has ended");
  JIGSAW_RETURN_IF_ERROR(rollout->check_room_for(terms.num_tokens));
  rollout->expect_sample();
  incoming_[key] = terms.to_node;
  return ok_status();
}

Status RolloutMoves::activate(TransferTarget::Key key, const TransferTerms& terms, const ReceivedPayload& payload) {
  RolloutStage* rollout = callbacks_.rollout_at_rest(incoming_.extract(key).mapped());
  CHECK(rollout != nullptr);  // it is not done while it expects a sample
  rollout->expect_no_sample();
  JIGSAW_ASSIGN_OR_RETURN(const ReceivedSequence received, decode_sequence(payload));
  if (received.snapshot.sample() != terms.sample) {
    return Error(ErrorCode::kCorrupt, "another sample was offered than was sent");
  }
  if (received.snapshot.kv_positions() == 0) return rollout->take_in(received.snapshot, nullptr);
  const KvImport kv = received.kv(payload);
  return rollout->take_in(received.snapshot, &kv);
}

void RolloutMoves::drop(TransferTarget::Key key, const std::string& reason) {
  const auto dropped = incoming_.extract(key);
  if (dropped.empty()) return;
  log_info("rollout.not_taken", "from={} reason=\"{}\"", key.source, reason);
  if (RolloutStage* rollout = callbacks_.rollout_at_rest(dropped.mapped())) rollout->expect_no_sample();
}

void RolloutMoves::give_up(std::uint64_t node) {
  std::erase_if(outgoing_, [&](const auto& entry) {
    if (entry.second.node != node) return false;
    service_.forget(entry.first);
    return true;
  });
  std::erase_if(incoming_, [&](const auto& entry) {
    if (entry.second != node) return false;
    service_.refuse(entry.first, "the rollout was cancelled");
    return true;
  });
  moves_.erase(node);
}

Status RolloutMoves::serve() {
  for (auto& [node, move] : moves_) offer_waiting(move);
  service_.serve();
  for (auto move = moves_.begin(); move != moves_.end();) {
    if (move->second.num_open > 0 || !move->second.waiting.empty()) {
      ++move;
      continue;
    }
    wire::RolloutsMoved report = std::move(move->second.report);
    const RolloutStage* rollout = callbacks_.rollout_at_rest(move->first);
    report.set_num_left(rollout == nullptr ? 0 : static_cast<std::uint32_t>(rollout->running_samples().size()));
    move = moves_.erase(move);
    JIGSAW_RETURN_IF_ERROR(callbacks_.on_moved(report));
  }
  return ok_status();
}

}  // namespace jigsaw
