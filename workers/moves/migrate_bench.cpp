#include "workers/moves/migrate_bench.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <thread>
#include <utility>

#include "core/check.h"
#include "core/lane.h"
#include "core/median.h"
#include "core/transport/plain_links.h"
#include "migration/transfer_service.h"
#include "rollout/engine/rollout_engine.h"
#include "workers/moves/sequence_payload.h"

namespace jigsaw {
namespace {

using SteadyClock = std::chrono::steady_clock;
using Links = std::pair<std::unique_ptr<PeerLinks>, std::unique_ptr<PeerLinks>>;

constexpr int kNewTokens = 8;  // of each sequence, before it moves
constexpr std::uint64_t kFirstNeighbour = 1 << 20;
constexpr std::chrono::milliseconds kWait{1};

double seconds_since(SteadyClock::time_point begin) {
  return std::chrono::duration<double>(SteadyClock::now() - begin).count();
}

RolloutRequest request(std::uint64_t id, int prompt_tokens, int new_tokens, int vocab_size) {
  RolloutRequest request;
  request.id = id;
  request.random_key = id;
  for (int i = 0; i < prompt_tokens; ++i) {
    request.prompt.push_back((static_cast<int>(id % 1000) * 31 + i * 7 + 100) % vocab_size);
  }
  request.sampling.max_new_tokens = new_tokens;
  request.sampling.ignore_eos = true;
  return request;
}

// One worker: an engine and a service. The source keeps what it has moved, so that it can move again; the target drops
// what it has taken.
class Worker : public TransferHost {
 public:
  Worker(PeerLinks& links, RolloutEngine& engine, int prompt_tokens, int vocab_size)
      : links_(links),
        engine_(engine),
        prompt_tokens_(prompt_tokens),
        vocab_size_(vocab_size),
        service_(links, *this, system_clock(), {}, {.reserved_chunks_max = 4096, .live_max = 1024}) {}

  void offer(std::uint64_t sample, bool with_kv) {
    const auto progress = *engine_.progress(sample);
    const std::size_t num_tokens = static_cast<std::size_t>(prompt_tokens_) + progress.tokens.size();
    const std::size_t kv = with_kv ? engine_.sequence_kv(sample)->blocks.size() * engine_.kv_block_bytes() : 0;
    const TransferId id = service_.offer(2, {.sample = static_cast<std::uint32_t>(sample),
                                             .num_tokens = static_cast<std::uint32_t>(num_tokens),
                                             .chunks_max = num_chunks_for(payload_bytes_at_most(num_tokens, kv))});
    outgoing_[id] = {.sample = sample, .with_kv = with_kv};
  }
  bool may_offer() const { return service_.may_offer(); }
  // Waits up to `wait` for a message.
  void serve(std::chrono::milliseconds wait = std::chrono::milliseconds(0)) {
    while (true) {
      auto received = links_.receive(wait);
      if (!received.ok() || !*received) break;
      wait = std::chrono::milliseconds(0);
      const auto decoded = decode_peer_frame((*received)->bytes);
      CHECK(decoded.ok() && service_.on_frame((*received)->from, (*received)->bytes, *decoded));
    }
    service_.serve();
  }
  int num_moved() const { return num_moved_; }
  std::size_t bytes_sent() const { return bytes_sent_; }
  const std::vector<double>& pauses_s() const { return pauses_s_; }
  bool keeps_what_comes = false;  // the target goes on with it

 private:
  struct Outgoing {
    std::uint64_t sample = 0;
    bool with_kv = false;
    SteadyClock::time_point frozen_at{};
  };

  std::vector<std::string> freeze(TransferId id) override {
    Outgoing& outgoing = outgoing_.at(id);
    outgoing.frozen_at = SteadyClock::now();
    const auto progress = *engine_.progress(outgoing.sample);
    const auto kv = outgoing.with_kv ? engine_.sequence_kv(outgoing.sample) : std::nullopt;
    wire::SequenceSnapshot snapshot;
    snapshot.set_sample(static_cast<std::uint32_t>(outgoing.sample));
    snapshot.set_prompt_length(static_cast<std::uint32_t>(prompt_tokens_));
    const std::vector<TokenId> prompt = request(outgoing.sample, prompt_tokens_, 1, vocab_size_).prompt;
    snapshot.mutable_tokens()->Add(prompt.begin(), prompt.end());
    snapshot.mutable_tokens()->Add(progress.tokens.begin(), progress.tokens.end());
    snapshot.mutable_logprobs()->Add(progress.logprobs.begin(), progress.logprobs.end());
    std::vector<std::string> frames = encode_sequence(id, std::move(snapshot), kv ? &*kv : nullptr, Compression::kNone);
    for (const std::string& frame : frames) bytes_sent_ += frame.size();
    return frames;
  }
  void on_moved(TransferId id) override {
    pauses_s_.push_back(seconds_since(outgoing_.extract(id).mapped().frozen_at));
    ++num_moved_;
  }
  void on_taken_back(TransferId, const std::string& reason) override { CHECK_FAILED("not moved: " + reason); }
  Status reserve(TransferTarget::Key, const TransferTerms&) override { return ok_status(); }
  Status activate(TransferTarget::Key, const TransferTerms&, const ReceivedPayload& payload) override {
    const ReceivedSequence received = *decode_sequence(payload);
    const wire::SequenceSnapshot& snapshot = received.snapshot;
    RolloutRequest moved = request(snapshot.sample(), prompt_tokens_, 1 << 14, vocab_size_);
    moved.partial_tokens.assign(snapshot.tokens().begin() + prompt_tokens_, snapshot.tokens().end());
    moved.partial_logprobs.assign(snapshot.logprobs().begin(), snapshot.logprobs().end());
    if (snapshot.kv_positions() > 0) {
      CHECK(*engine_.submit_with_kv(std::move(moved), received.kv(payload)));
    } else {
      CHECK(engine_.submit(std::move(moved)).ok());
    }
    if (!keeps_what_comes) engine_.cancel(snapshot.sample());
    return ok_status();
  }
  void drop(TransferTarget::Key, const std::string& reason) override { CHECK_FAILED("not taken: " + reason); }

  PeerLinks& links_;
  RolloutEngine& engine_;
  int prompt_tokens_, vocab_size_;
  TransferService service_;
  std::map<TransferId, Outgoing> outgoing_;
  std::vector<double> pauses_s_;
  std::size_t bytes_sent_ = 0;
  int num_moved_ = 0;
};

// Calls `serve` on a thread of its own again and again while this lives.
std::jthread on_a_thread(std::function<void()> serve) {
  return std::jthread([serve = std::move(serve)](const std::stop_token& stop) {
    while (!stop.stop_requested()) serve();
  });
}

Result<Links> open_curve_links() {
  JIGSAW_ASSIGN_OR_RETURN(const CurveKeys first_keys, make_curve_keys());
  JIGSAW_ASSIGN_OR_RETURN(const CurveKeys second_keys, make_curve_keys());
  JIGSAW_ASSIGN_OR_RETURN(auto first, open_peer_links(first_keys));
  JIGSAW_ASSIGN_OR_RETURN(auto second, open_peer_links(second_keys));
  const PeerAddress members[] = {{1, first->endpoint(), first->public_key()},
                                 {2, second->endpoint(), second->public_key()}};
  JIGSAW_RETURN_IF_ERROR(first->set_peers(members));
  JIGSAW_RETURN_IF_ERROR(second->set_peers(members));
  return Links(std::move(first), std::move(second));
}

class MigrateBench {
 public:
  MigrateBench(const PolicyWeights& weights, const MigrateBenchOptions& options)
      : options_(options), weights_(weights), prompt_tokens_(std::max(1, options.tokens - kNewTokens)) {}

  Result<MigrateBenchResult> run() {
    JIGSAW_ASSIGN_OR_RETURN(source_engine_, make_engine());
    JIGSAW_ASSIGN_OR_RETURN(target_engine_, make_engine());
    for (int i = 0; i < options_.sequences; ++i) submit(*source_engine_, static_cast<std::uint64_t>(i));
    while (source_engine_->progress(static_cast<std::uint64_t>(options_.sequences) - 1)->tokens.size() <
           static_cast<std::size_t>(kNewTokens)) {
      (void)source_engine_->step(source_lane_);
    }
    // In turns, so that a machine whose speed drifts is fair to all.
    std::vector<double> stream, plain, curve;
    for (int i = 0; i < options_.repeats; ++i) {
      JIGSAW_ASSIGN_OR_RETURN(const Links plain_links, open_plain_links());
      plain.push_back(time_copies(plain_links));
      JIGSAW_ASSIGN_OR_RETURN(const double plain_stream, measure_plain_stream(result_.payload_bytes, kChunkBytes));
      stream.push_back(plain_stream);
      JIGSAW_ASSIGN_OR_RETURN(const Links curve_links, open_curve_links());
      curve.push_back(time_copies(curve_links));
    }
    result_.stream_bytes_per_s = median(stream);
    result_.kv_copy_plain_bytes_per_s = median(plain);
    result_.kv_copy_bytes_per_s = median(curve);
    JIGSAW_RETURN_IF_ERROR(time_recompute());
    for (const bool with_kv : {true, false}) {
      JIGSAW_ASSIGN_OR_RETURN(const Links links, open_curve_links());
      (with_kv ? result_.kv_copy_pauses_s : result_.recompute_pauses_s) = time_pauses(links, with_kv);
    }
    return std::move(result_);
  }

 private:
  Result<std::unique_ptr<RolloutEngine>> make_engine() const {
    EngineOptions options;
    options.max_batch = options_.sequences + options_.neighbours + 1;
    options.max_positions = options_.tokens + (1 << 14);
    options.kv_bytes_max = std::size_t{2} << 30;
    return RolloutEngine::create(weights_, nullptr, options);
  }
  int vocab_size() const { return weights_.config().vocab_size; }
  void submit(RolloutEngine& engine, std::uint64_t id) const {
    CHECK(engine.submit(request(id, prompt_tokens_, 1 << 14, vocab_size())).ok());
  }

  // All sequences move at once; nothing else computes.
  double time_copies(const Links& links) {
    Worker source(*links.first, *source_engine_, prompt_tokens_, vocab_size());
    Worker target(*links.second, *target_engine_, prompt_tokens_, vocab_size());
    const std::jthread serving = on_a_thread([&] { target.serve(kWait); });
    // The first one also makes the connection.
    double seconds = 0;
    for (const int count : {1, options_.sequences}) {
      const int moved_before = source.num_moved();
      const std::size_t bytes_before = source.bytes_sent();
      const auto begin = SteadyClock::now();
      for (int offered = 0; source.num_moved() < moved_before + count;) {
        while (offered < count && source.may_offer()) source.offer(static_cast<std::uint64_t>(offered++), true);
        source.serve(kWait);
      }
      seconds = seconds_since(begin);
      result_.payload_bytes = source.bytes_sent() - bytes_before;
    }
    return static_cast<double>(result_.payload_bytes) / seconds;
  }

  Status time_recompute() {
    JIGSAW_ASSIGN_OR_RETURN(const Links links, open_curve_links());
    std::vector<double> prefill, recompute;
    const double num_tokens = static_cast<double>(options_.tokens) * options_.sequences;
    const auto until_decoding = [&](std::uint64_t first, const auto& serve) {
      const auto begin = SteadyClock::now();
      const auto has_begun = [&](std::uint64_t id) {
        const auto kv = target_engine_->sequence_kv(id);
        return kv && kv->num_positions >= options_.tokens - 1;
      };
      for (int i = 0; i < options_.sequences; ++i) {
        while (!has_begun(first + static_cast<std::uint64_t>(i))) {
          serve();
          if (!target_engine_->idle()) (void)target_engine_->step(target_lane_);
        }
      }
      return num_tokens / seconds_since(begin);
    };
    const auto drop = [&](std::uint64_t first) {
      for (int i = 0; i < options_.sequences; ++i) target_engine_->cancel(first + static_cast<std::uint64_t>(i));
    };
    Worker source(*links.first, *source_engine_, prompt_tokens_, vocab_size());
    Worker target(*links.second, *target_engine_, prompt_tokens_, vocab_size());
    target.keeps_what_comes = true;
    const std::uint64_t fresh = 1000;
    for (int repeat = 0; repeat < std::min(3, options_.repeats); ++repeat) {
      for (int i = 0; i < options_.sequences; ++i) {
        CHECK(target_engine_->submit(request(fresh + static_cast<std::uint64_t>(i), options_.tokens, 2, vocab_size()))
                  .ok());
      }
      prefill.push_back(until_decoding(fresh, [] {}));
      drop(fresh);
      int offered = 0;
      recompute.push_back(until_decoding(0, [&] {
        while (offered < options_.sequences && source.may_offer())
          source.offer(static_cast<std::uint64_t>(offered++), false);
        source.serve();
        target.serve();
      }));
      drop(0);
    }
    result_.prefill_tokens_per_s = median(prefill);
    result_.recompute_tokens_per_s = median(recompute);
    return ok_status();
  }

  // One sequence at a time, while the target decodes others and serves between passes, as workers do.
  std::vector<double> time_pauses(const Links& links, bool with_kv) {
    Worker source(*links.first, *source_engine_, prompt_tokens_, vocab_size());
    Worker target(*links.second, *target_engine_, prompt_tokens_, vocab_size());
    for (int i = 0; i < options_.neighbours; ++i) {
      submit(*target_engine_, kFirstNeighbour + static_cast<std::uint64_t>(i));
    }
    {
      const std::jthread serving = on_a_thread([&] {
        target.serve();
        (void)target_engine_->step(target_lane_);
      });
      for (int i = 0; i < options_.pauses; ++i) {
        source.offer(static_cast<std::uint64_t>(i % options_.sequences), with_kv);
        while (source.num_moved() <= i) source.serve(kWait);
      }
    }
    for (int i = 0; i < options_.neighbours; ++i) {
      target_engine_->cancel(kFirstNeighbour + static_cast<std::uint64_t>(i));
    }
    return source.pauses_s();
  }

  MigrateBenchOptions options_;
  const PolicyWeights& weights_;
  int prompt_tokens_;
  Lane source_lane_{1}, target_lane_{1};
  std::unique_ptr<RolloutEngine> source_engine_, target_engine_;
  MigrateBenchResult result_;
};

}  // namespace

Result<MigrateBenchResult> run_migrate_bench(const PolicyWeights& weights, const MigrateBenchOptions& options) {
  return MigrateBench(weights, options).run();
}

}  // namespace jigsaw
