#include "workers/trainer/step_bench.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <numeric>
#include <utility>

#include "core/philox.h"
#include "graph/chunk_pairs.h"
#include "workers/trainer/slot_tree.h"
#include "workers/trainer/trainer.h"

namespace jigsaw {
namespace {

using Seconds = std::chrono::duration<double>;

Status validate(const StepBenchOptions& options, const ModelConfig& model) {
  const auto invalid = [](const std::string& message) { return Error(ErrorCode::kInvalidArgument, message); };
  if (options.completion_lengths.empty()) return invalid("completion_lengths: no samples to train on");
  const auto [shortest, longest] = std::ranges::minmax(options.completion_lengths);
  if (shortest < 1 || options.prompt_tokens < 1) return invalid("prompts and completions need a token at least");
  if (options.group_size < 1 || options.num_steps < 1) return invalid("group_size and num_steps must be at least 1");
  if (longest > model.max_positions || options.prompt_tokens > model.max_positions - longest) {
    return invalid("prompt and longest completion exceed the model's " + std::to_string(model.max_positions) +
                   " positions");
  }
  return ok_status();
}

std::vector<TrainingSample> random_samples(const StepBenchOptions& options, int vocab_size) {
  std::vector<TrainingSample> samples;
  for (std::size_t i = 0; i < options.completion_lengths.size(); ++i) {
    TrainingSample sample;
    sample.group = static_cast<std::int64_t>(i) / options.group_size;
    sample.reward = philox_uniform(options.seed, i, 0);
    sample.prompt_length = options.prompt_tokens;
    const int length = options.prompt_tokens + options.completion_lengths[i];
    const std::uint64_t prompt = options.completion_lengths.size() + static_cast<std::uint64_t>(sample.group);
    for (int t = 0; t < length; ++t) {
      const std::uint64_t stream = t < options.prompt_tokens ? prompt : i;  // a group has one prompt
      const double draw = philox_uniform(options.seed, stream, static_cast<std::uint64_t>(t) + 1);
      sample.tokens.push_back(static_cast<std::int32_t>(draw * vocab_size));
    }
    samples.push_back(std::move(sample));
  }
  return samples;
}

// Leaves the gradient of all in that of the slot. Returns the seconds of the longest quantum.
Result<double> train_batch(Lane& lane, Trainer& trainer, const std::vector<TrainingSample>& samples,
                           const BatchAdvantages& advantages, int split_tokens) {
  double longest_s = 0;
  const auto timed = [&longest_s](const auto& run_quantum) {
    const auto begin = std::chrono::steady_clock::now();
    auto outcome = run_quantum();
    longest_s = std::max(longest_s, Seconds(std::chrono::steady_clock::now() - begin).count());
    return outcome;
  };
  std::vector<int> lengths;
  for (const TrainingSample& sample : samples) lengths.push_back(static_cast<int>(sample.tokens.size()));
  const std::vector<int> num_pairs = chunk_pairs(lengths, split_tokens);
  std::vector<AlignedFloats> gradients;
  SlotBatch batch{0, {}, {}, advantages.num_samples, advantages.num_tokens};
  for (std::size_t i = 0; i < samples.size(); ++i) {
    if (num_pairs[i] == 0) {
      batch.samples.push_back(samples[i]);
      batch.advantages.push_back(advantages.per_token[i]);
      continue;
    }
    std::vector<int> pairs(static_cast<std::size_t>(num_pairs[i]));
    std::iota(pairs.begin(), pairs.end(), 0);
    JIGSAW_ASSIGN_OR_RETURN(const std::unique_ptr<SplitSample> split,
                            trainer.begin_split({.name = "sample " + std::to_string(i),
                                                 .sample = samples[i],
                                                 .advantages = advantages.per_token[i],
                                                 .num_samples_total = advantages.num_samples,
                                                 .num_tokens_total = advantages.num_tokens,
                                                 .chunk_begins = chunk_begins(lengths[i], num_pairs[i]),
                                                 .pairs = pairs}));
    while (!split->done()) JIGSAW_RETURN_IF_ERROR(timed([&] { return split->run_quantum(lane); }));
    for (std::size_t pair = 0; pair < pairs.size(); ++pair) gradients.push_back(split->take_gradient(pair));
  }
  trainer.begin_slot(std::move(batch));
  for (bool has_more = true; has_more;) {
    JIGSAW_ASSIGN_OR_RETURN(has_more, timed([&] { return trainer.run_quantum(lane); }));
  }
  for (const AlignedFloats& gradient : gradients) add_slot(lane, trainer.slot_gradient(), gradient.span());
  return longest_s;
}

}  // namespace

Result<std::vector<StepTiming>> time_training_steps(Lane& lane, PolicyWeights& weights,
                                                    const StepBenchOptions& options) {
  JIGSAW_RETURN_IF_ERROR(validate(options, weights.config()));
  const int longest = std::ranges::max(options.completion_lengths);
  TrainerOptions trainer_options;
  trainer_options.algorithm.name = options.algorithm;
  trainer_options.algorithm.max_completion_length = longest;
  trainer_options.max_positions = options.prompt_tokens + longest;
  trainer_options.micro_batch_tokens = options.micro_batch_tokens;
  trainer_options.recompute_activations = options.recompute_activations;
  JIGSAW_ASSIGN_OR_RETURN(const std::unique_ptr<Trainer> trainer, Trainer::create(weights, trainer_options));
  const std::vector<TrainingSample> samples = random_samples(options, weights.config().vocab_size);
  JIGSAW_ASSIGN_OR_RETURN(const BatchAdvantages advantages, compute_advantages(trainer_options.algorithm, samples));

  std::vector<StepTiming> timings;
  for (int step = 0; step < options.num_steps; ++step) {
    StepTiming& timing = timings.emplace_back();
    for (const TrainingSample& sample : samples) timing.num_tokens += static_cast<std::int64_t>(sample.tokens.size());
    const auto begin = std::chrono::steady_clock::now();
    JIGSAW_ASSIGN_OR_RETURN(timing.longest_quantum_s,
                            train_batch(lane, *trainer, samples, advantages, options.split_tokens));
    const auto trained = std::chrono::steady_clock::now();
    JIGSAW_RETURN_IF_ERROR(trainer->apply_update(lane, trainer->slot_gradient()));
    timing.forward_backward_s = Seconds(trained - begin).count();
    timing.update_s = Seconds(std::chrono::steady_clock::now() - trained).count();
  }
  return timings;
}

}  // namespace jigsaw
