#include "workers/trainer/policy_loss.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <vector>

#include "core/check.h"
#include "workers/trainer/algorithms/algorithm.h"

namespace jigsaw {
namespace {

at::Tensor doubles(std::span<const float> values) {
  at::Tensor result = at::empty({static_cast<std::int64_t>(values.size())}, at::kDouble);
  std::ranges::copy(values, result.mutable_data_ptr<double>());
  return result;
}

at::Tensor doubles(std::span<const double> values) {
  at::Tensor result = at::empty({static_cast<std::int64_t>(values.size())}, at::kDouble);
  std::ranges::copy(values, result.mutable_data_ptr<double>());
  return result;
}

// exp of the log-ratio at the algorithm's level: T values, or one for the completion.
at::Tensor ratio_of(const Algorithm& algorithm, const at::Tensor& lp_T, const at::Tensor& old_T) {
  const at::Tensor log_ratio_T = lp_T - old_T;
  switch (algorithm.ratio) {
    case RatioLevel::kToken: return log_ratio_T.exp();
    case RatioLevel::kSequenceMean: return log_ratio_T.mean().exp();
    case RatioLevel::kSequenceSum: return log_ratio_T.sum().exp();
  }
  CHECK_FAILED("no such ratio level");
}

at::Tensor kl_of(std::string_view estimator, const at::Tensor& lp_T, const at::Tensor& ref_T) {
  const at::Tensor difference_T = ref_T - lp_T;
  if (estimator == "k1") return -difference_T;
  if (estimator == "k2") return difference_T.square() / 2;
  return difference_T.exp() - difference_T - 1;
}

// The policy term's losses, one a ratio; counts what the clip touched, in tokens.
at::Tensor clipped_loss(const Algorithm& algorithm, const AlgorithmConfig& config, const at::Tensor& ratio,
                        const at::Tensor& advantage, const at::Tensor& lp_T, double& clipped_tokens) {
  const double upper = config.upper_epsilon();
  at::Tensor loss, clipped;
  if (algorithm.clip == ClipKind::kPessimistic) {
    const at::Tensor bounded = ratio.clamp(1 - config.epsilon, 1 + upper);
    loss = -at::minimum(ratio * advantage, bounded * advantage);
    clipped = (ratio.lt(1 - config.epsilon) & advantage.lt(0)) | (ratio.gt(1 + upper) & advantage.gt(0));
  } else {
    loss = -(ratio.clamp_max(upper).detach() * advantage * lp_T);
    clipped = ratio.gt(upper);
  }
  const double tokens_per_ratio = ratio.dim() == 0 ? static_cast<double>(lp_T.numel()) : 1;
  clipped_tokens += clipped.sum().item<double>() * tokens_per_ratio;
  return loss;
}

// Losses of one completion: one a token, or one in all where ratio and KL are the completion's.
at::Tensor sample_losses(const Algorithm& algorithm, const AlgorithmConfig& config, const at::Tensor& lp_T,
                         const LossSample& sample, LossCounts& counts) {
  const at::Tensor current_T = lp_T.detach();
  const at::Tensor sampled_T = sample.old_logprobs.empty() ? current_T : doubles(sample.old_logprobs);
  const bool is_decoupled = config.importance_cap > 0;
  const at::Tensor ratio = ratio_of(algorithm, lp_T, is_decoupled ? current_T : sampled_T);
  // A completion has one advantage where it has one ratio.
  const at::Tensor advantages_T = doubles(sample.advantages);
  const at::Tensor advantage = ratio.dim() == 0 ? advantages_T[0] : advantages_T;

  at::Tensor loss = clipped_loss(algorithm, config, ratio, advantage, lp_T, counts.clipped_tokens);
  if (is_decoupled) loss = loss * ratio_of(algorithm, current_T, sampled_T).clamp_max(config.importance_cap);

  if (!sample.ref_logprobs.empty()) {
    const at::Tensor ref_T = doubles(sample.ref_logprobs);
    counts.kl_sum += kl_of("k3", current_T, ref_T).sum().item<double>();
    if (needs_kl_in_loss(config)) {
      at::Tensor kl_T = kl_of(config.kl_estimator, lp_T, ref_T);
      if (config.use_bias_correction_kl) kl_T = kl_T * ratio;
      loss = loss + config.beta * kl_T;
    }
  }
  return loss;
}

// A completion's share of the batch loss.
at::Tensor aggregate(Aggregation aggregation, const AlgorithmConfig& config, const LossDenominators& denominators,
                     const at::Tensor& losses) {
  const auto num_samples = static_cast<double>(denominators.num_samples);
  switch (aggregation) {
    case Aggregation::kMeanOfSampleMeans: return losses.mean() / num_samples;
    case Aggregation::kTokenMean: return losses.sum() / static_cast<double>(denominators.num_tokens);
    case Aggregation::kFixedLength: return losses.sum() / (num_samples * config.max_completion_length);
  }
  CHECK_FAILED("no such aggregation");
}

}  // namespace

at::Tensor policy_loss(const AlgorithmConfig& config, const LossDenominators& denominators,
                       const at::Tensor& logprobs_N, std::span<const LossSample> samples, LossCounts& counts) {
  const Algorithm* algorithm = find_algorithm(config.name);
  CHECK_MSG(algorithm != nullptr, config.name);
  std::vector<std::int64_t> lengths;
  for (const LossSample& sample : samples) {
    CHECK(!sample.advantages.empty());
    lengths.push_back(static_cast<std::int64_t>(sample.advantages.size()));
  }
  const std::vector<at::Tensor> completions = logprobs_N.split_with_sizes(lengths);
  at::Tensor loss = at::zeros({}, at::kDouble);
  for (std::size_t i = 0; i < samples.size(); ++i) {
    const at::Tensor losses = sample_losses(*algorithm, config, completions[i], samples[i], counts);
    loss = loss + aggregate(algorithm->aggregation, config, denominators, losses);
  }
  return loss;
}

}  // namespace jigsaw
