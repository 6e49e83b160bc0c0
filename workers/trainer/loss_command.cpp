#include "workers/trainer/loss_command.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "rollout/kernels/kernels.h"
#include "rollout/models/model_files.h"
#include "workers/trainer/algorithms/algorithm.h"
#include "workers/trainer/loss_batch.h"
#include "workers/trainer/trainer.h"

namespace jigsaw {
namespace {

// "No old_logprobs: old = lp without gradient" holds for a KL in the reward, too, which is computed before the loss.
Status fill_old_logprobs(Lane& lane, Trainer& trainer, std::vector<TrainingSample>& samples) {
  const bool all_there = std::ranges::none_of(samples, [](const TrainingSample& s) { return s.old_logprobs.empty(); });
  if (all_there) return ok_status();
  JIGSAW_ASSIGN_OR_RETURN(std::vector<std::vector<float>> logprobs, trainer.score(lane, samples, nullptr));
  for (std::size_t i = 0; i < samples.size(); ++i) {
    if (samples[i].old_logprobs.empty()) samples[i].old_logprobs = std::move(logprobs[i]);
  }
  return ok_status();
}

}  // namespace

Result<AlgorithmConfig> parse_algorithm(const std::string& name, const std::vector<std::string>& settings) {
  AlgorithmConfig config;
  config.name = name;
  for (const std::string& setting : settings) {
    const std::size_t equals = setting.find('=');
    if (equals == std::string::npos) {
      return Error(ErrorCode::kInvalidArgument, "--set " + setting + ": expected key=value");
    }
    const Status status = set_algorithm_option(config, setting.substr(0, equals), setting.substr(equals + 1));
    if (!status) return status.error().with_context("--set " + setting);
  }
  JIGSAW_RETURN_IF_ERROR(validate(config));
  return config;
}

Result<LossReport> compute_loss(Lane& lane, PolicyWeights& weights, const AlgorithmConfig& algorithm,
                                std::vector<TrainingSample> samples, std::vector<float>* keep_gradient) {
  TrainerOptions options;
  options.algorithm = algorithm;
  options.max_positions = 2;
  for (const TrainingSample& sample : samples) {
    options.max_positions = std::max(options.max_positions, static_cast<int>(sample.tokens.size()));
  }
  JIGSAW_ASSIGN_OR_RETURN(const std::unique_ptr<Trainer> trainer, Trainer::create(weights, options));
  if (needs_kl_in_reward(algorithm)) JIGSAW_RETURN_IF_ERROR(fill_old_logprobs(lane, *trainer, samples));
  JIGSAW_ASSIGN_OR_RETURN(BatchAdvantages advantages, compute_advantages(algorithm, samples));

  SlotBatch batch;
  batch.samples = std::move(samples);
  batch.advantages = std::move(advantages.per_token);
  batch.num_samples_total = advantages.num_samples;
  batch.num_tokens_total = advantages.num_tokens;
  trainer->begin_slot(std::move(batch));
  for (bool is_done = false; !is_done;) {
    JIGSAW_ASSIGN_OR_RETURN(const bool has_more, trainer->run_quantum(lane));
    is_done = !has_more;
  }
  const std::span<const float> gradient = trainer->slot_gradient();
  if (keep_gradient != nullptr) keep_gradient->assign(gradient.begin(), gradient.end());
  LossReport report;
  report.loss = trainer->slot_result().loss;
  report.grad_norm = std::sqrt(kernels::sum_of_squares(lane, gradient.size(), gradient.data()));
  report.advantages = std::move(advantages.per_sample);
  return report;
}

Result<std::string> run_loss_command(Lane& lane, const LossCommandOptions& options) {
  JIGSAW_ASSIGN_OR_RETURN(const AlgorithmConfig algorithm, parse_algorithm(options.algorithm, options.settings));
  std::ifstream file(options.batch_file);
  if (!file) return Error(ErrorCode::kNotFound, options.batch_file + ": cannot be opened");
  JIGSAW_ASSIGN_OR_RETURN(std::vector<TrainingSample> samples, read_loss_batch(file, options.batch_file));
  JIGSAW_ASSIGN_OR_RETURN(const std::unique_ptr<PolicyWeights> weights, load_model(options.model));
  JIGSAW_ASSIGN_OR_RETURN(const LossReport report, compute_loss(lane, *weights, algorithm, std::move(samples)));
  if (!std::isfinite(report.grad_norm)) {
    return Error(ErrorCode::kInvalidArgument, options.batch_file + ": the gradient is not finite");
  }
  const nlohmann::ordered_json answer = {
      {"loss", report.loss}, {"grad_norm", report.grad_norm}, {"advantages", report.advantages}};
  return answer.dump();
}

}  // namespace jigsaw
