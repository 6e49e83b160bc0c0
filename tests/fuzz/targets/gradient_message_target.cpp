#include "core/wire/peer_frame.h"
#include "tests/fuzz/fuzz_targets.h"
#include "tests/fuzz/input_cutter.h"
#include "tests/fuzz/quiet_protobuf.h"
#include "tests/support/fake_clock.h"
#include "workers/reduction/link_exchange.h"
#include "workers/reduction/split_exchange.h"

namespace jigsaw::fuzz {
namespace {

constexpr std::size_t kFloats = 64;
constexpr PeerId kSelf = 1;

// Takes a few messages and is full then, as a peer that reads nothing.
class FullLinks : public PeerLinks {
 public:
  std::string endpoint() const override { return ""; }
  std::string public_key() const override { return ""; }
  Status set_peers(std::span<const PeerAddress>) override { return ok_status(); }
  Status try_send(PeerId, std::string& bytes) override {
    if (num_sent_ >= 4) return Error(ErrorCode::kResourceExhausted, "full");
    ++num_sent_;
    bytes.clear();
    return ok_status();
  }
  Status try_send_shared(PeerId, std::shared_ptr<const std::string>) override { return ok_status(); }
  Result<std::optional<ReceivedMessage>> receive(std::chrono::milliseconds) override {
    return std::optional<ReceivedMessage>();
  }
  std::size_t num_dropped() const override { return 0; }

 private:
  int num_sent_ = 0;
};

}  // namespace

// Frames of peers 1 to 4 while worker 1 exchanges a gradient with 2 and 3, and trains a sample with 2: each a byte of
// who sends it, and the frame behind its length.
void gradient_message(std::string_view bytes) {
  quiet_protobuf();
  InputCutter input(bytes);
  FakeClock clock;
  FullLinks links;
  LinkExchange exchange(links, kSelf, 0, clock);
  Lane lane(1);
  SlotSum sum(4);
  sum.add(lane, {0, 0}, AlignedFloats(kFloats));
  CHECK(
      exchange.start({.owners = {1, 2, 3, 2}, .participants = {1, 2, 3}, .attempt = 1}, std::move(sum), kFloats).ok());
  SplitExchange split(links, 0, clock);
  split.begin(1, {1, 2, 3});
  std::vector<float> made(kFloats), wanted(kFloats);
  split.publish({0, {SplitItem::Kind::kKeysValues, 0, 0, 0}}, made);
  split.fetch(2, {0, {SplitItem::Kind::kScores, 0, 1, 1}}, wanted);
  while (!input.empty()) {
    const PeerId from = 1 + input.byte() % 4;
    const auto frame = decode_peer_frame(input.part());
    if (frame.ok() && frame->message.has_gradient()) exchange.on_part(from, frame->message.gradient());
    if (frame.ok() && frame->message.has_gradient_request()) {
      exchange.on_request(from, frame->message.gradient_request());
    }
    if (frame.ok() && frame->message.has_split()) split.on_part(from, frame->message.split());
    if (frame.ok() && frame->message.has_split_request()) split.on_request(from, frame->message.split_request());
    split.serve();
    const auto gradient = exchange.poll();
    if (gradient.ok() && *gradient) CHECK((*gradient)->size() == kFloats);
    clock.advance(std::chrono::milliseconds(300));
  }
}

}  // namespace jigsaw::fuzz
