#include "rollout/engine/decode_bench.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <span>
#include <utility>

#include "core/median.h"
#include "rollout/engine/foreign_load.h"
#include "rollout/engine/forward_pass.h"
#include "rollout/engine/kv_block_pool.h"

namespace jigsaw {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

struct Run {
  double seconds = 0;           // of the timed passes
  std::vector<TokenId> tokens;  // of sequence 0
};

std::vector<TokenId> prompt_of(int num_tokens, int vocab_size) {
  std::vector<TokenId> prompt;
  for (int i = 0; i < num_tokens; ++i) prompt.push_back((100 + i) % vocab_size);
  return prompt;
}

// The model and its KV blocks, without the engine: every sequence has blocks of its own.
class BareDecoder {
 public:
  static Result<std::unique_ptr<BareDecoder>> create(const PolicyWeights& weights, const DecodeBenchOptions& options) {
    const int num_positions = options.prompt_tokens + options.new_tokens;
    auto model = make_transformer_pass(weights, num_positions);
    JIGSAW_ASSIGN_OR_RETURN(
        auto pool, KvBlockPool::create(options.batch * num_blocks_for(num_positions), model->kv_block_floats()));
    auto decoder = std::make_unique<BareDecoder>();
    decoder->model_ = std::move(model);
    decoder->pool_ = std::move(pool);
    for (int i = 0; i < options.batch; ++i) {
      decoder->leases_.push_back(*decoder->pool_->try_lease(num_blocks_for(num_positions)));
    }
    return decoder;
  }

  Run run(Lane& lane, std::span<const TokenId> prompt, int new_tokens) {
    current_.clear();
    for (const KvBlockLease& lease : leases_) {
      const SequenceRows rows{.num_rows = static_cast<int>(prompt.size()), .blocks = lease.bases()};
      const std::int32_t last = rows.num_rows - 1;
      current_.push_back(
          argmax(model_->forward(lane, {.tokens = prompt, .sequences = {&rows, 1}, .logit_rows = {&last, 1}})));
    }
    std::vector<std::int32_t> all_rows;
    for (std::size_t i = 0; i < leases_.size(); ++i) all_rows.push_back(static_cast<std::int32_t>(i));

    Run run{.tokens = {current_[0]}};
    const auto start = Clock::now();
    for (int step = 0; step < new_tokens; ++step) {
      decode(lane, static_cast<int>(prompt.size()) + step, all_rows);
      run.tokens.push_back(current_[0]);
    }
    run.seconds = seconds_since(start);
    return run;
  }

 private:
  void decode(Lane& lane, int position, std::span<const std::int32_t> all_rows) {
    rows_.clear();
    for (const KvBlockLease& lease : leases_) {
      rows_.push_back({.num_rows = 1, .position_begin = position, .blocks = lease.bases()});
    }
    const auto logits = model_->forward(lane, {.tokens = current_, .sequences = rows_, .logit_rows = all_rows});
    const auto vocab = static_cast<std::size_t>(model_->vocab_size());
    lane.parallel_for(static_cast<std::int64_t>(leases_.size()), 1, [&](std::int64_t begin, std::int64_t end) {
      for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) {
        current_[i] = argmax(logits.subspan(i * vocab, vocab));
      }
    });
  }

  static TokenId argmax(std::span<const float> logits) {
    return static_cast<TokenId>(std::ranges::max_element(logits) - logits.begin());
  }

  std::unique_ptr<ForwardPass> model_;
  std::unique_ptr<KvBlockPool> pool_;
  std::vector<KvBlockLease> leases_;
  std::vector<SequenceRows> rows_;
  std::vector<TokenId> current_;
};

class EngineDecoder {
 public:
  static Result<std::unique_ptr<EngineDecoder>> create(const PolicyWeights& weights,
                                                       const DecodeBenchOptions& options) {
    // The whole batch is prefilled in one step, so that all sequences then decode side by side.
    JIGSAW_ASSIGN_OR_RETURN(auto engine,
                            RolloutEngine::create(weights, nullptr,
                                                  {.max_batch = options.batch,
                                                   .max_step_tokens = options.batch * options.prompt_tokens,
                                                   .max_positions = options.prompt_tokens + options.new_tokens + 1}));
    auto decoder = std::make_unique<EngineDecoder>();
    decoder->engine_ = std::move(engine);
    decoder->batch_ = options.batch;
    return decoder;
  }

  Run run(Lane& lane, std::span<const TokenId> prompt, int new_tokens) {
    for (int i = 0; i < batch_; ++i) {
      RolloutRequest request;
      request.id = static_cast<std::uint64_t>(i);
      request.prompt.assign(prompt.begin(), prompt.end());
      request.sampling.temperature = 0;
      request.sampling.max_new_tokens = new_tokens + 1;
      request.sampling.ignore_eos = true;
      request.speculation = false;
      const Status status = engine_->submit(std::move(request));
      CHECK_MSG(status.ok(), status.error().message());
    }
    engine_->step(lane);
    Run run;
    const auto start = Clock::now();
    while (!engine_->idle()) {
      for (RolloutOutput& output : engine_->step(lane).finished) {
        if (output.id == 0) run.tokens = std::move(output.tokens);
      }
    }
    run.seconds = seconds_since(start);
    return run;
  }

 private:
  std::unique_ptr<RolloutEngine> engine_;
  int batch_ = 0;
};

template <typename Decoder>
DecodeBenchResult measure(Lane& lane, Decoder& decoder, std::span<const TokenId> prompt,
                          const DecodeBenchOptions& options) {
  decoder.run(lane, prompt, std::min(options.new_tokens, 4));
  std::vector<double> speeds;
  Run run;
  const ForeignLoad foreign_load;
  for (int repeat = 0; repeat < options.repeats; ++repeat) {
    run = decoder.run(lane, prompt, options.new_tokens);
    speeds.push_back(static_cast<double>(options.batch) * options.new_tokens / std::max(run.seconds, 1e-9));
  }
  DecodeBenchResult result;
  result.foreign_cores = foreign_load.cores();
  std::ranges::sort(speeds);
  result.tok_per_s = median(speeds);
  result.tok_per_s_range = {speeds.front(), speeds.back()};
  run.tokens.resize(std::min<std::size_t>(run.tokens.size(), 8));
  result.first_tokens = std::move(run.tokens);
  return result;
}

Status check(const DecodeBenchOptions& options) {
  if (options.batch < 1 || options.prompt_tokens < 1 || options.new_tokens < 1 || options.repeats < 1) {
    return Error(ErrorCode::kInvalidArgument, "batch, prompt_tokens, new_tokens and repeats must be at least 1");
  }
  if (options.prompt_tokens >= kMaxPositionsLimit || options.new_tokens >= kMaxPositionsLimit - options.prompt_tokens ||
      options.batch > kMaxPositionsLimit / num_blocks_for(options.prompt_tokens + options.new_tokens)) {
    return Error(ErrorCode::kInvalidArgument, "batch x (prompt_tokens + new_tokens) is too large to measure");
  }
  return ok_status();
}

}  // namespace

Result<DecodeBenchResult> run_decode_bench(Lane& lane, const PolicyWeights& weights,
                                           const DecodeBenchOptions& options) {
  JIGSAW_RETURN_IF_ERROR(check(options));
  const std::vector<TokenId> prompt = prompt_of(options.prompt_tokens, weights.config().vocab_size);
  DecodeBenchResult result;
  if (options.through_engine) {
    JIGSAW_ASSIGN_OR_RETURN(auto decoder, EngineDecoder::create(weights, options));
    result = measure(lane, *decoder, prompt, options);
    result.peer = "jigsaw-engine";
  } else {
    JIGSAW_ASSIGN_OR_RETURN(auto decoder, BareDecoder::create(weights, options));
    result = measure(lane, *decoder, prompt, options);
  }
  result.batch = options.batch;
  result.prompt_tokens = options.prompt_tokens;
  result.new_tokens = options.new_tokens;
  result.threads = lane.num_threads();
  return result;
}

}  // namespace jigsaw
