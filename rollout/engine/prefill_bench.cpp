#include "rollout/engine/prefill_bench.h"

#include <chrono>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "core/check.h"
#include "core/median.h"
#include "rollout/engine/foreign_load.h"
#include "rollout/engine/rollout_engine.h"
#include "rollout/kernels/gemm_bench.h"

namespace jigsaw {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kNewTokens = 2;

// Seconds to the last first token of `count` sequences on the prompt number `prompt`; leaves the engine idle.
double first_tokens_s(Lane& lane, RolloutEngine& engine, int count, int prompt, int prompt_tokens, int vocab_size) {
  const auto begin = Clock::now();
  for (int i = 0; i < count; ++i) {
    RolloutRequest request;
    request.id = static_cast<std::uint64_t>(i);
    request.prefix_group = static_cast<std::uint64_t>(prompt) + 1;
    for (int token = 0; token < prompt_tokens; ++token) {
      request.prompt.push_back((100 + 31 * prompt + 7 * token) % vocab_size);
    }
    request.sampling.max_new_tokens = kNewTokens;
    request.sampling.ignore_eos = true;
    const Status status = engine.submit(std::move(request));
    CHECK_MSG(status.ok(), status.error().message());
  }
  std::set<std::uint64_t> begun;
  double seconds = 0;
  while (!engine.idle()) {
    const EngineStep step = engine.step(lane);
    for (const EngineStep::Event& event : step.events) begun.insert(event.id);
    if (seconds == 0 && std::ssize(begun) == count) {
      seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    }
  }
  return seconds;
}

}  // namespace

double prefill_flops(const ModelConfig& config, int prompt_tokens) {
  const double tokens = prompt_tokens, hidden = config.hidden_size, q = config.q_size(), kv = config.kv_size();
  const double matrices = hidden * (q + 2 * kv) + q * hidden + 3.0 * hidden * config.intermediate_size;
  const double attention = 2 * q * (tokens + 1) / 2;  // with keys and with values, per position on average
  return 2 * tokens * config.num_layers * (matrices + attention) + 2 * hidden * config.vocab_size;
}

Result<PrefillBenchResult> run_prefill_bench(Lane& lane, const PolicyWeights& weights,
                                             const PrefillBenchOptions& options) {
  if (options.prompt_tokens < 1 || options.group < 1 || options.repeats < 1) {
    return Error(ErrorCode::kInvalidArgument, "prompt tokens, group and repeats must be at least 1");
  }
  const EngineOptions engine_options{.max_batch = options.group,
                                     .max_step_tokens = options.prompt_tokens + options.group,
                                     .max_positions = options.prompt_tokens + kNewTokens};
  JIGSAW_ASSIGN_OR_RETURN(const std::unique_ptr<RolloutEngine> engine,
                          RolloutEngine::create(weights, nullptr, engine_options));
  PrefillBenchResult result;
  std::vector<double> one, group;
  const ForeignLoad foreign_load;
  for (int prompt = 0; prompt <= 2 * options.repeats; ++prompt) {
    const int count = prompt % 2 == 0 ? 1 : options.group;  // in turns, after one that warms up
    const double seconds =
        first_tokens_s(lane, *engine, count, prompt, options.prompt_tokens, weights.config().vocab_size);
    if (prompt > 0) (count == 1 ? one : group).push_back(seconds);
  }
  result.foreign_cores = foreign_load.cores();
  if (options.group == 1) std::swap(one, group);
  result.group_first_tokens_s = median(group);
  result.first_token_s = one.empty() ? result.group_first_tokens_s : median(one);
  result.gflops = 1e-9 * prefill_flops(weights.config(), options.prompt_tokens) / result.first_token_s;
  result.fma_peak_gflops = kernels::bench_gemm(lane, {}, {}, {}).fma_peak_gflops;
  return result;
}

}  // namespace jigsaw
