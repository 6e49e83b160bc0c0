#include "workers/stages/update_stage.h"

#include <algorithm>
#include <utility>

#include "graph/slot_samples.h"
#include "workers/stages/training_samples.h"
#include "workers/trainer/advantages.h"

namespace jigsaw {

UpdateStage::UpdateStage(PipelineRuntime& runtime, const wire::UpdateWork& work, std::function<Status()> on_summed)
    : runtime_(runtime),
      on_summed_(std::move(on_summed)),
      work_{.owners = {work.slot_owner().begin(), work.slot_owner().end()},
            .participants = {work.participants().begin(), work.participants().end()},
            .attempt = work.attempt()},
      sum_(work.slot_owner_size()) {}

Result<std::unique_ptr<UpdateStage>> UpdateStage::create(PipelineRuntime& runtime, std::uint32_t worker,
                                                         const wire::UpdateWork& work,
                                                         std::function<Status()> on_summed) {
  CHECK(work.update() == runtime.trainer().version());
  std::vector<TrainingSample> samples;
  for (const wire::Trajectory& trajectory : work.trajectories()) samples.push_back(to_training_sample(trajectory));
  JIGSAW_ASSIGN_OR_RETURN(BatchAdvantages advantages, compute_advantages(runtime.config().algorithm, samples));
  std::unique_ptr<UpdateStage> stage(new UpdateStage(runtime, work, std::move(on_summed)));
  const std::vector<std::uint32_t>& owners = stage->work_.owners;
  const std::size_t num_slots = owners.size();
  for (std::size_t slot = 0; slot < num_slots; ++slot) {
    if (owners[slot] != worker) continue;
    SlotBatch batch{.slot = static_cast<int>(slot),
                    .samples = {},
                    .advantages = {},
                    .num_samples_total = advantages.num_samples,
                    .num_tokens_total = advantages.num_tokens};
    const auto [begin, end] =
        samples_of_slot(static_cast<int>(samples.size()), static_cast<int>(num_slots), static_cast<int>(slot));
    for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) {
      batch.samples.push_back(std::move(samples[i]));
      batch.advantages.push_back(std::move(advantages.per_token[i]));
    }
    stage->slots_.emplace(static_cast<int>(slot), std::move(batch));
  }
  if (stage->slots_.empty()) stage->phase_ = Phase::kSummed;
  return stage;
}

Status UpdateStage::run_quantum(Lane& lane) {
  if (phase_ == Phase::kSlots) return run_slot_quantum(lane);
  CHECK(phase_ == Phase::kApply);
  keep_for_rollouts(lane);
  JIGSAW_ASSIGN_OR_RETURN(const UpdateStats update, runtime_.trainer().apply_update(lane, gradient_.span()));
  runtime_.on_weights_trained();
  runtime_.on_training_ended();
  stats_.set_grad_norm(update.grad_norm);
  stats_.set_lr(update.lr);
  stats_.set_weights_hash(update.weights_hash);
  stats_.set_policy_version(runtime_.trainer().version());
  phase_ = Phase::kDone;
  return ok_status();
}

// With staleness n the weights from before this step are those of the rollout n steps later. The plan has copied them
// by now, but in the last n steps, since it knows of none so much later; a checkpoint holds them also then, for more
// steps on --resume.
void UpdateStage::keep_for_rollouts(Lane& lane) {
  const std::int64_t version = runtime_.trainer().version();
  const bool is_first_of_step = version % runtime_.config().train.updates_per_step == 0;
  if (runtime_.has_rollout_copy() && is_first_of_step) runtime_.sync_rollout_weights(lane, version);
}

Status UpdateStage::run_slot_quantum(Lane& lane) {
  if (current_slot_ < 0) {
    auto next = slots_.begin();
    current_slot_ = next->first;
    runtime_.trainer().begin_slot(std::move(next->second));
    slots_.erase(next);
  }
  JIGSAW_ASSIGN_OR_RETURN(const bool more, runtime_.trainer().run_micro_batch(lane));
  if (more) return ok_status();
  end_slot(lane);
  if (slots_.empty()) phase_ = Phase::kSummed;
  return ok_status();
}

void UpdateStage::end_slot(Lane& lane) {
  const SlotResult result = runtime_.trainer().slot_result();
  stats_.set_loss(stats_.loss() + result.loss);
  stats_.set_entropy_sum(stats_.entropy_sum() + result.entropy_sum);
  stats_.set_kl_sum(stats_.kl_sum() + result.kl_sum);
  stats_.set_clipped_tokens(stats_.clipped_tokens() + result.clipped_tokens);
  stats_.set_num_tokens(stats_.num_tokens() + result.num_tokens);
  const std::span<const float> gradient = runtime_.trainer().slot_gradient();
  AlignedFloats buffer = sum_.take_buffer(gradient.size());
  std::copy(gradient.begin(), gradient.end(), buffer.data());
  sum_.add(lane, {current_slot_, 0}, std::move(buffer));
  current_slot_ = -1;
}

Status UpdateStage::poll() {
  if (phase_ == Phase::kSummed) {
    JIGSAW_RETURN_IF_ERROR(
        runtime_.exchange().start(std::move(work_), std::move(sum_), runtime_.weights().floats().size()));
    phase_ = Phase::kExchange;
    if (on_summed_) JIGSAW_RETURN_IF_ERROR(on_summed_());
  }
  if (phase_ != Phase::kExchange) return ok_status();
  JIGSAW_ASSIGN_OR_RETURN(std::optional<AlignedFloats> whole, runtime_.exchange().poll());
  if (!whole) return ok_status();
  gradient_ = *std::move(whole);
  phase_ = Phase::kApply;
  return ok_status();
}

// The weights are as they were before it, on this worker.
bool UpdateStage::abandon() {
  if (phase_ == Phase::kExchange) runtime_.exchange().abandon();
  runtime_.on_training_ended();
  is_abandoned_ = true;
  phase_ = Phase::kDone;
  return true;
}

}  // namespace jigsaw
