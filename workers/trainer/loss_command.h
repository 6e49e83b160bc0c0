// What `jigsaw loss` does: a batch of completions -> loss, gradient norm and advantages, by one forward and backward
// over everything. For checking the losses from outside, against any other implementation.
#pragma once

#include <string>
#include <vector>

#include "core/lane.h"
#include "core/result.h"
#include "rollout/models/policy_weights.h"
#include "workers/trainer/algorithm_config.h"
#include "workers/trainer/training_sample.h"

namespace jigsaw {

struct LossCommandOptions {
  std::string model;  // a folder or a .gguf file
  std::string algorithm;
  std::vector<std::string> settings;  // "key=value" of AlgorithmConfig
  std::string batch_file;             // loss_batch.h
};
// The command's answer, one line of JSON without its end. Errors name the option or the line.
Result<std::string> run_loss_command(Lane& lane, const LossCommandOptions& options);

// The two steps of it that need no files.
Result<AlgorithmConfig> parse_algorithm(const std::string& name, const std::vector<std::string>& settings);

struct LossReport {
  double loss = 0;
  double grad_norm = 0;            // over all parameters, tied ones once, not clipped
  std::vector<double> advantages;  // one a completion
};
// `keep_gradient`, if not null, gets the gradient in the layout's flat form.
Result<LossReport> compute_loss(Lane& lane, PolicyWeights& weights, const AlgorithmConfig& algorithm,
                                std::vector<TrainingSample> samples, std::vector<float>* keep_gradient = nullptr);

}  // namespace jigsaw
