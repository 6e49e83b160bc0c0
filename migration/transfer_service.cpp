#include "migration/transfer_service.h"

#include <set>
#include <utility>
#include <variant>

#include "core/check.h"
#include "core/log.h"

namespace jigsaw {

TransferService::TransferService(PeerLinks& links, TransferHost& host, const Clock& clock, TransferSourceOptions source,
                                 TransferTargetOptions target)
    : links_(links), host_(host), clock_(clock), source_(source), target_(target) {}

TransferId TransferService::offer(PeerId target, const TransferTerms& terms) {
  return source_.offer(target, terms, clock_.now());
}

void TransferService::forget(TransferId id) {
  source_.forget(id);
  outgoing_.erase(id);
}

void TransferService::refuse(TransferTarget::Key key, const std::string& reason) { target_.cancel(key, reason); }

bool TransferService::on_frame(PeerId from, MessageBytes& frame, const PeerFrame& decoded) {
  const auto message = decode(decoded.message);
  if (!message) return false;
  const Clock::TimePoint now = clock_.now();
  if (const auto* answer = std::get_if<TargetMessage>(&*message)) {
    source_.on_message(from, *answer, now);
    return true;
  }
  const SourceMessage& told = std::get<SourceMessage>(*message);
  const auto* chunk = std::get_if<Chunk>(&told);
  if (chunk == nullptr) {
    target_.on_message(from, told, now);
    return true;
  }
  // An unsound one is as good as lost: the source sends it again.
  auto received = ReceivedChunk::check(std::move(frame), decoded);
  if (!received.ok()) {
    log_warning("transfer.corrupt", "from={} error=\"{}\"", from, received.error().message());
  } else if (target_.on_chunk(from, *chunk, now)) {
    incoming_[{from, chunk->id}].add(chunk->index, *std::move(received));
  }
  return true;
}

void TransferService::on_peer_lost(PeerId peer) {
  source_.on_peer_lost(peer);
  target_.on_peer_lost(peer);
  held_up_.erase(peer);
}

void TransferService::serve() {
  source_.on_time(clock_.now());
  target_.on_time(clock_.now());
  while (act()) continue;
  send();
}

// What one action leads to may be another.
bool TransferService::act() {
  const std::vector<TransferSource::Action> of_source = source_.take_actions();
  for (const TransferSource::Action& action : of_source) {
    act_on(action);
    if (action.what == TransferSource::Do::kFreeze) send();  // it is on its way while the next one is copied
  }
  const std::vector<TransferTarget::Action> of_target = target_.take_actions();
  for (const TransferTarget::Action& action : of_target) act_on(action);
  return !of_source.empty() || !of_target.empty();
}

void TransferService::act_on(const TransferSource::Action& action) {
  switch (action.what) {
    case TransferSource::Do::kFreeze: {
      Frames frames;
      for (std::string& frame : host_.freeze(action.id)) {
        frames.push_back(std::make_shared<const std::string>(std::move(frame)));
      }
      if (frames.empty()) {
        source_.cancel(action.id);
      } else if (source_.payload(action.id, static_cast<std::uint32_t>(frames.size()), clock_.now())) {
        outgoing_[action.id] = std::move(frames);
      }
      return;
    }
    case TransferSource::Do::kForget:
      outgoing_.erase(action.id);
      host_.on_moved(action.id);
      return;
    case TransferSource::Do::kGoOn:
      outgoing_.erase(action.id);
      host_.on_taken_back(action.id, action.reason);
      return;
    case TransferSource::Do::kUnanswered:
      log_warning("transfer.unanswered", "transfer={} target={}: waiting for it to say whether it has the sequence",
                  static_cast<std::uint64_t>(action.id), action.target);
      return;
  }
}

void TransferService::act_on(const TransferTarget::Action& action) {
  switch (action.what) {
    case TransferTarget::Do::kDecide: {
      const Status status = host_.reserve(action.key, action.terms);
      if (status.ok()) {
        target_.reserve(action.key, clock_.now());
      } else {
        target_.refuse(action.key, status.error().message());
      }
      return;
    }
    case TransferTarget::Do::kActivate: activate(action); return;
    case TransferTarget::Do::kDrop:
      incoming_.erase(action.key);
      host_.drop(action.key, action.reason);
      return;
  }
}

void TransferService::activate(const TransferTarget::Action& action) {
  ReceivedPayload payload;
  if (const auto received = incoming_.extract(action.key); !received.empty()) payload = std::move(received.mapped());
  Status status = payload.check_complete(action.num_chunks);
  if (status.ok()) {
    status = host_.activate(action.key, action.terms, payload);
  } else {
    host_.drop(action.key, status.error().message());
  }
  if (status.ok()) return target_.activated(action.key, std::nullopt);
  log_warning("transfer.refused", "from={} sample={} error=\"{}\"", action.key.source, action.terms.sample,
              status.error().message());
  target_.activated(action.key, status.error().message());
}

std::shared_ptr<const std::string> TransferService::frame_of(const SourceMessage& message) const {
  if (const auto* chunk = std::get_if<Chunk>(&message)) return outgoing_.at(chunk->id).at(chunk->index);
  return std::make_shared<const std::string>(encode(message));
}

// A link that takes nothing just now gets this first when it does again. Whatever else goes wrong with it, the protocol
// makes up for: what is lost is sent again, and who is gone is called lost.
void TransferService::send_or_hold(PeerId to, std::shared_ptr<const std::string> frame) {
  const Status status = links_.try_send_shared(to, frame);
  if (!status.ok() && status.error().code() == ErrorCode::kResourceExhausted) held_up_[to] = std::move(frame);
}

void TransferService::send() {
  for (auto& [peer, frame] : std::exchange(held_up_, {})) send_or_hold(peer, std::move(frame));
  std::set<PeerId> blocked;
  for (const auto& [peer, frame] : held_up_) blocked.insert(peer);
  // Each message is one of a bounded number that are due, and a chunk goes once for a credit.
  while (const auto message = target_.next_message(blocked)) {
    send_or_hold(message->to, std::make_shared<const std::string>(encode(message->message)));
    if (held_up_.contains(message->to)) blocked.insert(message->to);
  }
  while (const auto message = source_.next_message(blocked, clock_.now())) {
    send_or_hold(message->to, frame_of(message->message));
    if (held_up_.contains(message->to)) blocked.insert(message->to);
  }
}

}  // namespace jigsaw
