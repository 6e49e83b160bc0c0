// One policy's training on one worker: gradients of slots of samples, and the optimizer. LibTorch stays in the .cpp
// files. Executor thread only.
//
// A step:   begin_slot(batch), run_quantum() until done, for each slot this worker has -> reduction of slots over
//           workers (launch) -> apply_update() -> new policy version.
// A gradient slot sums its samples in order, packed into micro-batches by a rule that looks at the samples only, so a
// slot gives the same bits on any worker; slots are summed by a fixed tree (workers/trainer/slot_tree.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/lane.h"
#include "core/result.h"
#include "rollout/models/policy_weights.h"
#include "workers/trainer/advantages.h"
#include "workers/trainer/algorithm_config.h"
#include "workers/trainer/optimizer_config.h"
#include "workers/trainer/slot_batch.h"
#include "workers/trainer/split_sample.h"
#include "workers/trainer/training_sample.h"

namespace jigsaw {

struct TrainerOptions {
  AlgorithmConfig algorithm;
  OptimizerConfig optimizer;
  int max_positions = 2048;       // longest sample, prompt and completion
  int micro_batch_tokens = 2048;  // bound of one pack; a longer sample is a pack of its own
  int num_pairs_max = 0;          // chunk pairs of a sample of max_positions, for activation_bytes(); 0: none is cut
  bool recompute_activations = false;
};

struct UpdateStats {
  double grad_norm = 0;  // before clipping
  double lr = 0;
  std::string weights_hash;
};

class Trainer {
 public:
  // `weights` outlives the trainer, which alone writes them, in apply_update(). Fails on bad options.
  static Result<std::unique_ptr<Trainer>> create(PolicyWeights& weights, const TrainerOptions& options);
  virtual ~Trainer() = default;

  // Begins a slot: its gradient buffer starts at zero.
  virtual void begin_slot(SlotBatch batch) = 0;
  // Runs some layers of a micro-batch of the current slot forwards or backwards, or its loss; false when the slot is
  // done. A sample that does not fit the model or the options is an error of the slot's first call; a loss that is not
  // finite, of its own call.
  virtual Result<bool> run_quantum(Lane& lane) = 0;
  virtual SlotResult slot_result() const = 0;
  // The current slot's gradient, in the layout's flat form; valid until the next begin_slot.
  virtual std::span<float> slot_gradient() = 0;

  // Begins a sample that is split; between slots. It reads this trainer's weights until it is done, and takes memory of
  // its own: what slots had is freed. Fails as a slot's first call does.
  virtual Result<std::unique_ptr<SplitSample>> begin_split(SplitBatch batch) = 0;

  // Clips, steps AdamW with the fully reduced gradient, rounds the weights anew where passes read them rounded, and
  // advances the version. A gradient that is not finite is an
  // error and changes nothing.
  virtual Result<UpdateStats> apply_update(Lane& lane, std::span<const float> gradient) = 0;
  virtual std::int64_t version() const = 0;  // updates applied so far, those before load_optimizer() included

  // Log-probs of the completion tokens of samples under weights `reference` (or the policy's when null). The current
  // slot is untouched.
  virtual Result<std::vector<std::vector<float>>> score(Lane& lane, std::span<const TrainingSample> samples,
                                                        const PolicyWeights* reference) = 0;

  // Optimizer state as named flat tensors, in a safetensors file, and the version.
  virtual Status save_optimizer(const std::string& file) const = 0;
  virtual Status load_optimizer(const std::string& file) = 0;

  // Frees the memory of activations; the next micro-batch or score() takes it again. Not within a slot.
  virtual void release_memory() = 0;

  // Bytes of gradients and moments, and of the activations of one micro-batch or split sample, without the gradients of
  // its pairs; for the memory ledger.
  virtual std::size_t state_bytes() const = 0;
  virtual std::size_t activation_bytes() const = 0;
};

// Trainer::activation_bytes() of a model that is not loaded yet.
std::size_t activation_bytes(const ModelConfig& model, const TrainerOptions& options);

}  // namespace jigsaw
