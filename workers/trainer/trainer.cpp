#include "workers/trainer/trainer.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "core/check.h"
#include "rollout/models/training_pass.h"
#include "workers/trainer/adamw_optimizer.h"
#include "workers/trainer/micro_batches.h"
#include "workers/trainer/pack_loss.h"
#include "workers/trainer/sample_checks.h"

namespace jigsaw {
namespace {

std::span<const float> loan(const std::vector<float>& values) { return values; }

ScoredSequence scored_sequence(const TrainingSample& sample) {
  return {sample.tokens, sample.prompt_length, sample.given};
}

std::vector<ScoredSequence> scored_sequences(std::span<const TrainingSample> samples, const MicroBatch& pack) {
  std::vector<ScoredSequence> sequences;
  for (const std::size_t i : pack.samples) sequences.push_back(scored_sequence(samples[i]));
  return sequences;
}

class TorchTrainer final : public Trainer {
 public:
  TorchTrainer(PolicyWeights& weights, const TrainerOptions& options)
      : weights_(weights),
        options_(options),
        pass_(weights, options.max_positions, options.recompute_activations),
        optimizer_(weights, options.optimizer),
        gradient_(weights.layout().num_floats()) {}

  void begin_slot(SlotBatch batch) override {
    slot_ = std::move(batch);
    slot_error_ = check_slot();
    packs_ = pack_micro_batches(slot_.samples, options_.micro_batch_tokens);
    next_pack_ = 0;
    phase_ = PackPhase::kBegin;
    result_ = {};
    std::ranges::fill(gradient_.span(), 0.0f);
  }

  Result<bool> run_quantum(Lane& lane) override {
    if (slot_error_) return *slot_error_;
    if (next_pack_ == packs_.size()) return false;
    if (phase_ == PackPhase::kBegin) {
      pass_.begin_forward(scored_sequences(slot_.samples, packs_[next_pack_]));
      phase_ = PackPhase::kForward;
    }
    if (phase_ == PackPhase::kForward) {
      if (!pass_.forward_step(lane)) return true;
      JIGSAW_RETURN_IF_ERROR(begin_backward(packs_[next_pack_]));
      phase_ = PackPhase::kBackward;
      return true;
    }
    if (!pass_.backward_step(lane)) return true;
    phase_ = PackPhase::kBegin;
    ++next_pack_;
    return next_pack_ < packs_.size();
  }

  SlotResult slot_result() const override { return result_; }
  std::span<float> slot_gradient() override { return gradient_.span(); }

  Result<std::unique_ptr<SplitSample>> begin_split(SplitBatch batch) override {
    JIGSAW_RETURN_IF_ERROR(check_for_model(batch.name, batch.sample, limits_of(weights_)));
    JIGSAW_RETURN_IF_ERROR(check_for_loss(batch.name, options_.algorithm, batch.sample, batch.advantages));
    pass_.release_memory();
    return std::make_unique<SplitSample>(weights_, options_.algorithm, std::move(batch),
                                         options_.recompute_activations);
  }

  Result<UpdateStats> apply_update(Lane& lane, std::span<const float> gradient) override {
    JIGSAW_ASSIGN_OR_RETURN(const AdamwOptimizer::StepStats step, optimizer_.step(lane, gradient));
    weights_.round(lane);
    return UpdateStats{step.grad_norm, step.lr, weights_.hash()};
  }

  std::int64_t version() const override { return optimizer_.num_steps(); }

  Result<std::vector<std::vector<float>>> score(Lane& lane, std::span<const TrainingSample> samples,
                                                const PolicyWeights* reference) override {
    const PolicyWeights& weights = reference == nullptr ? weights_ : *reference;
    for (std::size_t i = 0; i < samples.size(); ++i) {
      JIGSAW_RETURN_IF_ERROR(check_for_model("sample " + std::to_string(i), samples[i], limits_of(weights)));
    }
    std::vector<ScoredSequence> sequences;
    for (const TrainingSample& sample : samples) {
      if (sample.completion_length() > 0) sequences.push_back(scored_sequence(sample));
    }
    std::vector<float> values;
    if (reference == nullptr) {
      values = pass_.score(lane, sequences, {});
    } else {
      TrainingPass reference_pass(*reference, options_.max_positions, /*recompute_activations=*/false);
      values = reference_pass.score(lane, sequences, {});
    }
    std::vector<std::vector<float>> logprobs;
    auto next = values.cbegin();
    for (const TrainingSample& sample : samples) {
      const auto end = next + sample.completion_length();
      logprobs.emplace_back(next, end);
      next = end;
    }
    return logprobs;
  }

  Status save_optimizer(const std::string& file) const override { return optimizer_.save(file); }
  Status load_optimizer(const std::string& file) override { return optimizer_.load(file); }

  void release_memory() override { pass_.release_memory(); }

  std::size_t state_bytes() const override {
    return sizeof(float) * gradient_.size() + AdamwOptimizer::state_bytes(weights_.layout());
  }
  std::size_t activation_bytes() const override { return jigsaw::activation_bytes(weights_.config(), options_); }

 private:
  enum class PackPhase { kBegin, kForward, kBackward };

  SampleLimits limits_of(const PolicyWeights& weights) const {
    return {weights.config().vocab_size, options_.max_positions};
  }
  std::string slot_name() const { return "gradient slot " + std::to_string(slot_.slot); }

  std::optional<Error> check_slot() const {
    CHECK(slot_.advantages.size() == slot_.samples.size());
    CHECK(slot_.num_samples_total >= static_cast<std::int64_t>(slot_.samples.size()));
    for (std::size_t i = 0; i < slot_.samples.size(); ++i) {
      const std::string where = slot_name() + ", sample " + std::to_string(i);
      Status status = check_for_model(where, slot_.samples[i], limits_of(weights_));
      if (status.ok()) status = check_for_loss(where, options_.algorithm, slot_.samples[i], slot_.advantages[i]);
      if (!status.ok()) return status.error();
    }
    return std::nullopt;
  }

  // After the forward: adds the pack's loss to the result, and begins the backward.
  Status begin_backward(const MicroBatch& pack) {
    std::vector<LossSample> loss_samples;
    for (const std::size_t i : pack.samples) {
      const TrainingSample& sample = slot_.samples[i];
      loss_samples.push_back({slot_.advantages[i], loan(sample.old_logprobs), loan(sample.ref_logprobs)});
    }
    JIGSAW_ASSIGN_OR_RETURN(
        const std::vector<float> dlogp,
        add_pack_loss(slot_name(), options_.algorithm, {slot_.num_samples_total, slot_.num_tokens_total},
                      pass_.logprobs(), pass_.entropies(), loss_samples, result_));
    pass_.begin_backward(dlogp, gradient_.span());
    return ok_status();
  }

  PolicyWeights& weights_;
  const TrainerOptions options_;
  TrainingPass pass_;
  AdamwOptimizer optimizer_;
  AlignedFloats gradient_;

  SlotBatch slot_;
  std::optional<Error> slot_error_;
  std::vector<MicroBatch> packs_;
  std::size_t next_pack_ = 0;
  PackPhase phase_ = PackPhase::kBegin;
  SlotResult result_;
};

}  // namespace

std::size_t activation_bytes(const ModelConfig& model, const TrainerOptions& options) {
  const bool recompute = options.recompute_activations;
  const int pack_tokens_max = std::max(options.micro_batch_tokens, options.max_positions);
  const std::size_t of_pack = TrainingPass::activation_bytes(model, pack_tokens_max, recompute);
  if (options.num_pairs_max == 0) return of_pack;
  return SplitPass::kept_bytes(model, options.max_positions, options.num_pairs_max) +
         std::max(of_pack, SplitPass::memory_bytes(model, options.max_positions, options.num_pairs_max, recompute));
}

Result<std::unique_ptr<Trainer>> Trainer::create(PolicyWeights& weights, const TrainerOptions& options) {
  JIGSAW_RETURN_IF_ERROR(validate(options.algorithm));
  JIGSAW_RETURN_IF_ERROR(validate(options.optimizer));
  if (options.max_positions < 2) {
    return Error(ErrorCode::kInvalidArgument, "max_positions: " + std::to_string(options.max_positions) +
                                                  " leaves no room for a prompt and a completion");
  }
  if (options.micro_batch_tokens < 1) {
    return Error(ErrorCode::kInvalidArgument,
                 "micro_batch_tokens: " + std::to_string(options.micro_batch_tokens) + " is below 1");
  }
  return std::unique_ptr<Trainer>(std::make_unique<TorchTrainer>(weights, options));
}

}  // namespace jigsaw
