// d loss / d lp by autograd against finite differences, and what the counts say.
#include "workers/trainer/policy_loss.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>

#include "core/philox.h"
#include "workers/trainer/advantages.h"
#include "workers/trainer/algorithms/algorithm.h"
#include "workers/trainer/single_threaded_torch.h"

namespace jigsaw {
namespace {

// Completions without a model: log-probs are just numbers.
struct Batch {
  std::vector<TrainingSample> samples;
  std::vector<double> logprobs;
  BatchAdvantages advantages;
};

Batch random_batch(const AlgorithmConfig& config, std::uint64_t seed) {
  Batch batch;
  std::uint64_t counter = 0;
  const auto draw = [&] { return philox_uniform(seed, 0, counter++); };
  for (int i = 0; i < 5; ++i) {
    TrainingSample sample;
    sample.group = i % 2;
    sample.reward = draw();
    sample.prompt_length = 1;
    const int length = 1 + static_cast<int>(draw() * 5);
    sample.tokens.assign(static_cast<std::size_t>(length) + 1, 0);
    for (int t = 0; t < length; ++t) {
      batch.logprobs.push_back(-0.5 - 2 * draw());
      sample.old_logprobs.push_back(static_cast<float>(batch.logprobs.back() + 0.6 * (draw() - 0.5)));
      sample.ref_logprobs.push_back(static_cast<float>(batch.logprobs.back() + 0.6 * (draw() - 0.5)));
    }
    batch.samples.push_back(sample);
  }
  batch.advantages = *compute_advantages(config, batch.samples);
  return batch;
}

std::vector<LossSample> loss_samples(const Batch& batch) {
  std::vector<LossSample> result;
  for (std::size_t i = 0; i < batch.samples.size(); ++i) {
    const TrainingSample& sample = batch.samples[i];
    result.push_back({batch.advantages.per_token[i], sample.old_logprobs, sample.ref_logprobs});
  }
  return result;
}

struct Evaluated {
  double loss = 0;
  std::vector<double> gradient;
  LossCounts counts;
};

Evaluated evaluate(const AlgorithmConfig& config, const Batch& batch) {
  Evaluated result;
  at::Tensor lp_N = at::empty({static_cast<std::int64_t>(batch.logprobs.size())}, at::kDouble);
  std::copy(batch.logprobs.begin(), batch.logprobs.end(), lp_N.mutable_data_ptr<double>());
  lp_N.set_requires_grad(true);
  const LossDenominators denominators{batch.advantages.num_samples, batch.advantages.num_tokens};
  const at::Tensor loss = policy_loss(config, denominators, lp_N, loss_samples(batch), result.counts);
  loss.backward();
  result.loss = loss.item<double>();
  const double* gradient = lp_N.grad().const_data_ptr<double>();
  result.gradient.assign(gradient, gradient + batch.logprobs.size());
  return result;
}

// Every algorithm, those with a KL in the loss with each estimator, with and without its correction.
std::vector<AlgorithmConfig> configs() {
  std::vector<AlgorithmConfig> all;
  for (const std::string& name : algorithm_names()) {
    AlgorithmConfig config;
    config.name = name;
    config.max_completion_length = 7;
    config.epsilon_high = 0.3;
    all.push_back(config);
    config.beta = 0.3;
    if (needs_kl_in_reward(config)) all.push_back(config);
    if (!needs_kl_in_loss(config)) continue;
    for (const std::string kl : {"k1", "k2", "k3"}) {
      for (const bool is_corrected : {true, false}) {
        config.kl_estimator = kl;
        config.use_bias_correction_kl = is_corrected;
        all.push_back(config);
      }
    }
  }
  return all;
}

// cispo's and importance sampling's weights are constants to the gradient but not to the loss: they have tests of
// their own below.
TEST(PolicyLossTest, GradientEqualsFiniteDifferences) {
  const SingleThreadedTorch single_threaded;
  int num_compared = 0, num_clipped = 0;
  for (const AlgorithmConfig& config : configs()) {
    if (config.name == "cispo") continue;
    for (std::uint64_t seed = 1; seed <= 3; ++seed) {
      const Batch batch = random_batch(config, seed);
      const Evaluated at_point = evaluate(config, batch);
      num_clipped += at_point.counts.clipped_tokens > 0;
      for (std::size_t i = 0; i < batch.logprobs.size(); ++i) {
        constexpr double kStep = 1e-5;
        Batch up = batch, down = batch;
        up.logprobs[i] += kStep;
        down.logprobs[i] -= kStep;
        const Evaluated above = evaluate(config, up), below = evaluate(config, down);
        if (above.counts.clipped_tokens != below.counts.clipped_tokens) continue;  // astride a clip's edge
        EXPECT_NEAR((above.loss - below.loss) / (2 * kStep), at_point.gradient[i], 1e-8)
            << config.name << " beta " << config.beta << " " << config.kl_estimator << " seed " << seed;
        ++num_compared;
      }
    }
  }
  EXPECT_GT(num_compared, 1000);
  EXPECT_GT(num_clipped, 30);
}

TEST(PolicyLossTest, CispoGradientIsTheTruncatedRatio) {
  const SingleThreadedTorch single_threaded;
  AlgorithmConfig config;
  config.name = "cispo";
  config.epsilon_high = 1.1;
  const Batch batch = random_batch(config, 4);
  const Evaluated result = evaluate(config, batch);
  std::size_t at = 0;
  int num_truncated = 0;
  for (std::size_t i = 0; i < batch.samples.size(); ++i) {
    for (std::size_t t = 0; t < batch.advantages.per_token[i].size(); ++t, ++at) {
      const double ratio = std::exp(batch.logprobs[at] - batch.samples[i].old_logprobs[t]);
      num_truncated += ratio > 1.1;
      const double expected =
          -std::min(ratio, 1.1) * batch.advantages.per_token[i][t] / static_cast<double>(batch.advantages.num_tokens);
      EXPECT_NEAR(result.gradient[at], expected, 1e-12);
    }
  }
  EXPECT_EQ(result.counts.clipped_tokens, num_truncated);
  EXPECT_GT(num_truncated, 0);
}

TEST(PolicyLossTest, ImportanceCapWeighsThePolicyGradientOnce) {
  const SingleThreadedTorch single_threaded;
  AlgorithmConfig config;
  config.name = "dapo";
  config.importance_cap = 1.05;
  const Batch batch = random_batch(config, 5);
  const Evaluated result = evaluate(config, batch);
  EXPECT_EQ(result.counts.clipped_tokens, 0);  // the ratio to the current policy is 1
  std::size_t at = 0;
  for (std::size_t i = 0; i < batch.samples.size(); ++i) {
    for (std::size_t t = 0; t < batch.advantages.per_token[i].size(); ++t, ++at) {
      const double weight = std::min(1.05, std::exp(batch.logprobs[at] - batch.samples[i].old_logprobs[t]));
      EXPECT_NEAR(result.gradient[at],
                  -weight * batch.advantages.per_token[i][t] / static_cast<double>(batch.advantages.num_tokens), 1e-12);
    }
  }
}

TEST(PolicyLossTest, WithoutOldLogprobsTheRatioIsOneAndTheGradientFlows) {
  const SingleThreadedTorch single_threaded;
  AlgorithmConfig config;
  config.name = "dapo";
  Batch batch = random_batch(config, 6);
  for (TrainingSample& sample : batch.samples) sample.old_logprobs.clear();
  const Evaluated result = evaluate(config, batch);
  std::size_t at = 0;
  for (const auto& advantages : batch.advantages.per_token) {
    for (const double advantage : advantages) {
      EXPECT_NEAR(result.gradient[at++], -advantage / static_cast<double>(batch.advantages.num_tokens), 1e-15);
    }
  }
}

TEST(SingleThreadedTorchTest, HoldsThreadsAndVectorWidth) {
  EXPECT_EQ(at::get_num_threads(), 1) << "from the start";
  at::set_num_threads(2);
  {
    const SingleThreadedTorch single_threaded;
    EXPECT_EQ(at::get_num_threads(), 1);
  }
  EXPECT_EQ(at::get_num_threads(), 2);
  at::set_num_threads(1);
#if defined(__x86_64__)
  const bool is_ours = std::getenv("ATEN_CPU_CAPABILITY") == nullptr;  // else the user's, and it is left alone
  if (is_ours && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    EXPECT_EQ(at::get_cpu_capability(), "AVX2");
  }
#endif
}

// Packs and slots each compute a share; the shares add up because nothing but the denominators crosses completions.
TEST(PolicyLossTest, SharesOfTheBatchAddUp) {
  const SingleThreadedTorch single_threaded;
  for (AlgorithmConfig config : configs()) {
    const Batch batch = random_batch(config, 7);
    const Evaluated whole = evaluate(config, batch);
    double loss = 0;
    std::vector<double> gradient;
    std::size_t at = 0;
    for (std::size_t i = 0; i < batch.samples.size(); ++i) {
      const std::size_t length = batch.advantages.per_token[i].size();
      Batch part;
      part.samples = {batch.samples[i]};
      part.logprobs.assign(batch.logprobs.begin() + static_cast<std::ptrdiff_t>(at),
                           batch.logprobs.begin() + static_cast<std::ptrdiff_t>(at + length));
      at += length;
      part.advantages = batch.advantages;
      part.advantages.per_token = {batch.advantages.per_token[i]};
      const Evaluated share = evaluate(config, part);
      loss += share.loss;
      gradient.insert(gradient.end(), share.gradient.begin(), share.gradient.end());
    }
    EXPECT_NEAR(loss, whole.loss, 1e-12) << config.name;
    EXPECT_EQ(gradient, whole.gradient) << config.name;  // a completion's own gradient has the same bits
  }
}

TEST(PolicyLossTest, CountsTheKlAndTheClippedTokens) {
  const SingleThreadedTorch single_threaded;
  AlgorithmConfig config;
  config.name = "gspo";
  config.epsilon = 0.1;
  config.scale_rewards = "none";
  Batch batch;
  batch.logprobs = {-1, -1, -2};
  TrainingSample sample;
  sample.prompt_length = 1;
  sample.tokens = {0, 0, 0};
  sample.old_logprobs = {-1.5f, -1.5f};  // ratio exp(0.5): above 1.1 with a positive advantage
  sample.ref_logprobs = {-1.0f, -1.25f};
  sample.reward = 1;
  batch.samples.push_back(sample);
  sample.tokens = {0, 0};
  sample.old_logprobs = {-2.5f};  // the same ratio with a negative one: PPO does not clip it
  sample.ref_logprobs = {-2.0f};
  sample.reward = 0;
  batch.samples.push_back(sample);
  batch.advantages = *compute_advantages(config, batch.samples);
  const Evaluated result = evaluate(config, batch);
  EXPECT_EQ(result.counts.clipped_tokens, 2);  // both tokens of the first completion
  EXPECT_NEAR(result.counts.kl_sum, std::exp(-0.25) + 0.25 - 1, 1e-12);
}

}  // namespace
}  // namespace jigsaw
