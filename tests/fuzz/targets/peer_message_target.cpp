#include <map>

#include "migration/transfer_codec.h"
#include "migration/transfer_source.h"
#include "migration/transfer_target.h"
#include "tests/fuzz/fuzz_targets.h"
#include "tests/fuzz/input_cutter.h"
#include "tests/fuzz/quiet_protobuf.h"

namespace jigsaw::fuzz {
namespace {

using TimePoint = Clock::TimePoint;

constexpr std::uint32_t kChunks = 3;
constexpr TransferTargetOptions kTargetOptions{.reserved_chunks_max = 8, .live_max = 4};

// A worker that has offered sequences to peers 2 and 3 and takes what they offer, as a service over the two state
// machines does.
class Worker {
 public:
  Worker() {
    for (const PeerId peer : {2u, 3u}) source_.offer(peer, {.to_node = 1, .chunks_max = kChunks}, now_);
  }

  void receive(PeerId from, MessageBytes frame) {
    const auto decoded = decode_peer_frame(frame);
    if (!decoded.ok()) return;
    const auto message = decode(decoded->message);
    if (!message) return;
    if (const auto* target = std::get_if<TargetMessage>(&*message)) {
      source_.on_message(from, *target, now_);
    } else if (const auto* chunk = std::get_if<Chunk>(&std::get<SourceMessage>(*message))) {
      const Chunk header = *chunk;
      auto checked = ReceivedChunk::check(std::move(frame), *decoded);
      if (!checked.ok()) return;
      CHECK(!checked->bytes().empty() && checked->bytes().size() <= kChunkBytes);
      if (target_.on_chunk(from, header, now_)) {
        payloads_[{from, header.id}].add(header.index, *std::move(checked));
      }
    } else {
      target_.on_message(from, std::get<SourceMessage>(*message), now_);
    }
  }

  void go_on(std::uint8_t what) {
    now_ += std::chrono::milliseconds(what);
    if (what == 255) source_.on_peer_lost(2), target_.on_peer_lost(2);
    source_.on_time(now_);
    target_.on_time(now_);
    for (const auto& action : source_.take_actions()) {
      if (action.what == TransferSource::Do::kFreeze) source_.payload(action.id, kChunks, now_);
    }
    for (auto actions = target_.take_actions(); !actions.empty(); actions = target_.take_actions()) {
      for (const auto& action : actions) answer(action);
    }
    // What it says is what its own codec reads.
    for (int i = 0; i < 100; ++i) {
      const auto said = source_.next_message({}, now_);
      if (!said) break;
      if (std::holds_alternative<Chunk>(said->message)) continue;
      const std::string frame = encode(said->message);
      CHECK(std::get<SourceMessage>(*decode(decode_peer_frame(frame)->message)) == said->message);
    }
    for (int i = 0; i < 100; ++i) {
      const auto said = target_.next_message({});
      if (!said) break;
      const std::string frame = encode(said->message);
      CHECK(std::get<TargetMessage>(*decode(decode_peer_frame(frame)->message)) == said->message);
    }
    CHECK(target_.num_live() <= kTargetOptions.live_max);
    CHECK(target_.reserved_chunks() <= kTargetOptions.reserved_chunks_max);
    CHECK(payloads_.size() <= static_cast<std::size_t>(kTargetOptions.live_max));
  }

 private:
  void answer(const TransferTarget::Action& action) {
    switch (action.what) {
      case TransferTarget::Do::kDecide:
        if (action.terms.sample % 4 == 3) {
          target_.refuse(action.key, "no room");
        } else {
          target_.reserve(action.key, now_);
        }
        return;
      case TransferTarget::Do::kActivate: {
        const ReceivedPayload& payload = payloads_[action.key];
        const Status complete = payload.check_complete(action.num_chunks);
        if (complete.ok()) {
          std::string all(payload.size(), '\0');
          payload.read(0, all);
        }
        payloads_.erase(action.key);
        target_.activated(action.key,
                          complete.ok() ? std::nullopt : std::optional<std::string>(complete.error().message()));
        return;
      }
      case TransferTarget::Do::kDrop: payloads_.erase(action.key); return;
    }
  }

  TimePoint now_{};
  TransferSource source_{TransferSourceOptions{}};
  TransferTarget target_{kTargetOptions};
  std::map<TransferTarget::Key, ReceivedPayload> payloads_;
};

}  // namespace

// Frames: each a byte of who sends it, one of how the time goes on after it, and the frame behind its length.
void peer_message(std::string_view bytes) {
  quiet_protobuf();
  InputCutter input(bytes);
  Worker worker;
  while (!input.empty()) {
    const PeerId from = 2 + input.byte() % 2;
    const std::uint8_t what = input.byte();
    worker.receive(from, std::string(input.part()));
    worker.go_on(what);
  }
}

}  // namespace jigsaw::fuzz
