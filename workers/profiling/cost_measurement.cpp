#include "workers/profiling/cost_measurement.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <optional>
#include <utility>

#include "core/check.h"
#include "core/clock.h"
#include "core/median.h"
#include "workers/profiling/decode_load.h"
#include "workers/trainer/advantages.h"

namespace jigsaw {
namespace {

constexpr int kShortPrompt = 16;
constexpr int kPassesMax = 16;            // of one batch, after which the next one is prefilled
constexpr int kLongContext = 1024;        // tokens; the longer of the two at which passes are compared
constexpr int kLongContextTokens = 4096;  // over all sequences, so that their prefill stays affordable
constexpr int kTrainingTokens = 512;      // scored or trained at a time
constexpr int kRepeatsAtLeast = 3;
constexpr double kWindowsAtMost = 4;  // of one measurement, however few repetitions there were

double seconds_since(Clock::TimePoint begin) {
  return std::chrono::duration<double>(system_clock().now() - begin).count();
}

// Whether to go on after `repeats` that took `measured_s`, `total_s` with all around them.
bool is_enough(std::size_t repeats, double measured_s, double total_s, double window_s) {
  if (repeats == 0) return false;
  return total_s >= kWindowsAtMost * window_s || (repeats >= kRepeatsAtLeast && measured_s >= window_s);
}

Result<double> median_seconds(double window_s, const std::function<Status()>& work) {
  std::vector<double> seconds;
  double sum = 0;
  while (!is_enough(seconds.size(), sum, sum, window_s)) {
    const Clock::TimePoint begin = system_clock().now();
    JIGSAW_RETURN_IF_ERROR(work());
    seconds.push_back(seconds_since(begin));
    sum += seconds.back();
  }
  return median(std::move(seconds));
}

struct DecodeTiming {
  double seconds = 0, context = 0;
};

// Empty when passes of the whole batch did not come about: the KV pool is too small for it.
Result<std::optional<DecodeTiming>> time_decode(PipelineRuntime& runtime, Lane& lane, int batch, int prompt_tokens,
                                                int new_tokens, double window_s) {
  DecodeLoad load(runtime.engine(), {.batch = batch,
                                     .prompt_tokens = prompt_tokens,
                                     .new_tokens = new_tokens,
                                     .vocab_size = runtime.weights().config().vocab_size,
                                     .sampling = runtime.config().rollout.sampling});
  std::vector<double> seconds, contexts;
  double sum = 0;
  const Clock::TimePoint begin = system_clock().now();
  while (!is_enough(seconds.size(), sum, seconds_since(begin), window_s)) {
    JIGSAW_ASSIGN_OR_RETURN(const DecodeLoad::Pass pass, load.step(lane));
    if (load.rounds() > 2 && seconds.empty()) return std::optional<DecodeTiming>();
    if (!pass.is_full) continue;
    seconds.push_back(pass.seconds);
    contexts.push_back(pass.context);
    sum += pass.seconds;
  }
  return std::optional(DecodeTiming{median(std::move(seconds)), mean(contexts)});
}

Status measure_decode(PipelineRuntime& runtime, Lane& lane, double window_s, CostMeasurement& cost) {
  const RolloutConfig& rollout = runtime.config().rollout;
  const int positions = rollout.engine.max_positions;
  const int prompt = std::max(1, std::min(kShortPrompt, positions / 4));
  const int widest = std::min(rollout.engine.max_batch, runtime.config().samples_per_step());
  // The first ones go on while the last prompts of a batch are prefilled, a chunk a pass.
  const int prefill_passes = 2 * (widest * prompt / rollout.engine.max_step_tokens);
  const int new_tokens = std::max(1, std::min(kPassesMax + 1 + prefill_passes, positions - prompt));
  for (const int batch : batches_to_measure(widest)) {
    JIGSAW_ASSIGN_OR_RETURN(const std::optional<DecodeTiming> timing,
                            time_decode(runtime, lane, batch, prompt, new_tokens, window_s));
    if (!timing) break;
    if (batch == 1) cost.context_from = timing->context;
    cost.decode.push_back({batch, timing->seconds});
  }
  if (cost.decode.empty()) {
    return Error(ErrorCode::kInvalidArgument, "rollout.max_positions: " + std::to_string(positions) +
                                                  " leave no room to time a decode pass; raise it");
  }

  const int long_prompt = std::min(positions - new_tokens, kLongContext);
  if (long_prompt < 2 * prompt) return ok_status();
  const int batch = std::clamp(kLongContextTokens / long_prompt, 1, cost.decode.back().batch);
  JIGSAW_ASSIGN_OR_RETURN(const auto shorter, time_decode(runtime, lane, batch, prompt, new_tokens, window_s));
  const auto longer = time_decode(runtime, lane, batch, long_prompt, new_tokens, window_s);
  // Where the KV pool has no room for one so long, there is nothing to learn of it.
  if (shorter && longer.ok() && *longer) {
    const double growth_s = (*longer)->seconds - shorter->seconds;
    cost.context_token_s = std::max(0.0, growth_s / (batch * ((*longer)->context - shorter->context)));
  }
  return ok_status();
}

// A prompt that is prefilled and gives one token, whatever number of passes that takes.
Status measure_prefill(PipelineRuntime& runtime, Lane& lane, double window_s, CostMeasurement& cost) {
  const EngineOptions& engine = runtime.config().rollout.engine;
  const auto seconds_of = [&](int tokens) {
    DecodeLoad load(runtime.engine(), {.batch = 1,
                                       .prompt_tokens = tokens,
                                       .new_tokens = 1,
                                       .vocab_size = runtime.weights().config().vocab_size,
                                       .sampling = runtime.config().rollout.sampling});
    return median_seconds(window_s, [&]() -> Status {
      do {
        if (const auto pass = load.step(lane); !pass.ok()) return pass.error();
      } while (!runtime.engine().idle());
      return ok_status();
    });
  };
  const int larger = std::min(engine.max_step_tokens, engine.max_positions - 1);
  const int smaller = std::max(1, larger / 4);
  JIGSAW_ASSIGN_OR_RETURN(const double larger_s, seconds_of(larger));
  if (smaller == larger) {
    cost.prefill = {.token_s = 0, .pass_s = larger_s};
    return ok_status();
  }
  JIGSAW_ASSIGN_OR_RETURN(const double smaller_s, seconds_of(smaller));
  cost.prefill = linear_time(smaller, smaller_s, larger, larger_s);
  return ok_status();
}

Status measure_training(PipelineRuntime& runtime, Lane& lane, const std::vector<TrainingSample>& samples,
                        double window_s, CostMeasurement& cost) {
  Trainer& trainer = runtime.trainer();
  JIGSAW_ASSIGN_OR_RETURN(
      const SlotBatch batch,
      training_load(runtime, samples, std::min(kTrainingTokens, runtime.config().train.micro_batch_tokens)));
  double tokens = 0;
  for (const TrainingSample& sample : batch.samples) tokens += static_cast<double>(sample.tokens.size());
  JIGSAW_ASSIGN_OR_RETURN(const double logprob_s, median_seconds(window_s, [&]() -> Status {
                            const auto scored = trainer.score(lane, batch.samples, runtime.reference());
                            return scored.ok() ? ok_status() : scored.error();
                          }));
  JIGSAW_ASSIGN_OR_RETURN(const double update_s, median_seconds(window_s, [&]() -> Status {
                            trainer.begin_slot(batch);
                            for (bool has_more = true; has_more;) {
                              JIGSAW_ASSIGN_OR_RETURN(has_more, trainer.run_quantum(lane));
                            }
                            return ok_status();
                          }));
  const std::vector<float> gradient(trainer.slot_gradient().begin(), trainer.slot_gradient().end());
  JIGSAW_ASSIGN_OR_RETURN(cost.optimizer_s, median_seconds(window_s, [&]() -> Status {
                            const auto updated = trainer.apply_update(lane, gradient);
                            return updated.ok() ? ok_status() : updated.error();
                          }));
  runtime.on_weights_trained();
  cost.logprob_token_s = logprob_s / tokens;
  cost.update_token_s = update_s / tokens;
  return ok_status();
}

}  // namespace

std::vector<int> batches_to_measure(int widest) {
  CHECK(widest >= 1);
  std::vector<int> batches;
  for (int batch = 1; batch < widest; batch *= 2) batches.push_back(batch);
  batches.push_back(widest);
  return batches;
}

Result<SlotBatch> training_load(const PipelineRuntime& runtime, const std::vector<TrainingSample>& samples,
                                int tokens_max) {
  CHECK(!samples.empty());
  JIGSAW_ASSIGN_OR_RETURN(BatchAdvantages advantages, compute_advantages(runtime.config().algorithm, samples));
  SlotBatch batch{.slot = 0,
                  .samples = {},
                  .advantages = {},
                  .num_samples_total = advantages.num_samples,
                  .num_tokens_total = advantages.num_tokens};
  std::size_t tokens = 0;
  for (std::size_t i = 0; i < samples.size(); ++i) {
    tokens += samples[i].tokens.size();
    if (i > 0 && tokens > static_cast<std::size_t>(tokens_max)) break;
    batch.samples.push_back(samples[i]);
    batch.advantages.push_back(std::move(advantages.per_token[i]));
  }
  return batch;
}

Result<CostMeasurement> measure_cost(PipelineRuntime& runtime, Lane& lane, const std::vector<TrainingSample>& samples,
                                     double window_s) {
  CostMeasurement cost;
  JIGSAW_RETURN_IF_ERROR(measure_decode(runtime, lane, window_s, cost));
  JIGSAW_RETURN_IF_ERROR(measure_prefill(runtime, lane, window_s, cost));
  JIGSAW_RETURN_IF_ERROR(measure_training(runtime, lane, samples, window_s, cost));
  return cost;
}

}  // namespace jigsaw
