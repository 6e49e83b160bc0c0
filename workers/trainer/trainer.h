// One policy's training on one worker: gradients of slots of samples, and the optimizer. LibTorch stays in the .cpp files.
// Executor thread only.
//
// A step:   begin_step(batch) -> run_micro_batch() until done, for each slot this worker has -> reduction of slots over
//           workers (launch) -> apply_update() -> new policy version.
// A gradient slot sums its samples in order, packed into micro-batches by a rule that looks at the samples only, so a slot
// gives the same bits on any worker; slots are summed by a fixed tree (workers/trainer/slot_tree.h).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/lane.h"
#include "core/result.h"
#include "rollout/models/policy_weights.h"

namespace jigsaw {

struct AlgorithmConfig {
  std::string name = "grpo";            // grpo, dr_grpo, dapo, rloo, reinforce_pp, gspo, cispo
  double epsilon = 0.2;
  double epsilon_high = -1;             // < 0: epsilon (cispo: the bound on the ratio itself)
  double beta = 0;                      // KL to the reference; 0 = no reference needed
  std::string kl_estimator = "k3";      // k1, k2, k3: the per-token KL term (losses of conventions.md use k3)
  std::string scale_rewards = "group";  // group, batch, none
  bool use_bias_correction_kl = true;   // TRL 1.16's default
  bool normalize_advantages = false;    // rloo
  int max_completion_length = 0;        // dr_grpo's denominator; 0: must be set for dr_grpo
  double importance_cap = 0;            // > 0: truncated importance sampling for stale samples
};
// Applies "key=value"; an unknown key or bad value is an error that lists or suggests the right ones.
Status set_algorithm_option(AlgorithmConfig& config, const std::string& key, const std::string& value);
// Names in the registry's table, for errors and help.
std::vector<std::string> algorithm_names();
Status validate(const AlgorithmConfig& config);

// What is known of a finished sample, without gradients.
struct TrainingSample {
  std::int64_t group = 0;
  double reward = 0;
  std::vector<std::int32_t> tokens;     // prompt + completion
  int prompt_length = 0;
  std::vector<float> old_logprobs;      // one a completion token; empty: old = current without gradient
  std::vector<float> ref_logprobs;      // one a completion token; empty unless beta > 0
  int completion_length() const { return static_cast<int>(tokens.size()) - prompt_length; }
};

// Advantages of a whole batch and its denominators: computed once (by the controller), handed to whoever trains a slot.
struct BatchAdvantages {
  std::vector<std::vector<double>> per_token;   // per sample, one a completion token (equal values but for reinforce_pp)
  std::vector<double> per_sample;               // what `advantages` reports
  std::int64_t num_samples = 0;                 // B
  std::int64_t num_tokens = 0;                  // N
};
Result<BatchAdvantages> compute_advantages(const AlgorithmConfig& config, std::span<const TrainingSample> samples);

struct OptimizerConfig {
  double lr = 1e-6;
  std::string schedule = "constant";    // constant, linear, cosine
  int warmup_steps = 0;
  int total_steps = 0;                  // for linear and cosine: where the rate reaches lr * min_lr_ratio
  double min_lr_ratio = 0;
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0;
  double max_grad_norm = 1.0;           // 0 = no clipping
};
double learning_rate_at(const OptimizerConfig& config, std::int64_t step);   // step from 1

struct TrainerOptions {
  AlgorithmConfig algorithm;
  OptimizerConfig optimizer;
  int max_positions = 2048;
  int micro_batch_tokens = 2048;        // bound of one pack; a longer sample is a pack of its own
  bool recompute_activations = false;
};

// One slot's part of a step's batch; indices into the batch given to compute_advantages.
struct SlotBatch {
  int slot = 0;
  std::vector<TrainingSample> samples;          // in index order
  std::vector<std::vector<double>> advantages;  // per sample and token
  std::int64_t num_samples_total = 0, num_tokens_total = 0;   // denominators of the whole batch
};
struct SlotResult {
  double loss = 0;                      // this slot's share of the batch loss (they add up)
  double entropy_sum = 0, kl_sum = 0, clipped_tokens = 0;   // sums over the slot's tokens
  std::int64_t num_tokens = 0;
};

struct UpdateStats {
  double grad_norm = 0;                 // before clipping
  double lr = 0;
  std::string weights_hash;
};

class Trainer {
 public:
  static Result<std::unique_ptr<Trainer>> create(PolicyWeights& weights, const TrainerOptions& options);
  virtual ~Trainer() = default;

  // Begins a slot: its gradient buffer starts at zero.
  virtual void begin_slot(SlotBatch batch) = 0;
  // Runs one micro-batch (forward, loss, backward) of the current slot; false when the slot is done.
  virtual Result<bool> run_micro_batch(Lane& lane) = 0;
  virtual SlotResult slot_result() const = 0;
  // The current slot's gradient, in the layout's flat form; valid until the next begin_slot.
  virtual std::span<float> slot_gradient() = 0;

  // Clips, steps AdamW with the fully reduced gradient, and advances the version.
  virtual Result<UpdateStats> apply_update(Lane& lane, std::span<const float> gradient) = 0;
  virtual std::int64_t version() const = 0;     // updates applied so far

  // Log-probs of the completion tokens of samples under weights `reference` (or the policy's when null).
  virtual Result<std::vector<std::vector<float>>> score(Lane& lane, std::span<const TrainingSample> samples,
                                                        const PolicyWeights* reference) = 0;

  // Optimizer state as named flat tensors, in a safetensors file.
  virtual Status save_optimizer(const std::string& file) const = 0;
  virtual Status load_optimizer(const std::string& file) = 0;

  // Bytes of gradients and moments, and of the activations of one micro-batch; for the memory ledger.
  virtual std::size_t state_bytes() const = 0;
  virtual std::size_t activation_bytes() const = 0;
};

}  // namespace jigsaw
