#include "workers/stages/update_stage.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "core/wire/drawn_tokens.h"
#include "graph/chunk_pairs.h"
#include "graph/slot_samples.h"
#include "workers/stages/training_samples.h"
#include "workers/trainer/advantages.h"

namespace jigsaw {

UpdateStage::UpdateStage(PipelineRuntime& runtime, std::uint32_t worker, const wire::UpdateWork& work,
                         std::vector<std::uint32_t> pair_owners, std::function<Status()> on_summed)
    : runtime_(runtime),
      worker_(worker),
      on_summed_(std::move(on_summed)),
      work_{.owners = std::move(pair_owners),
            .participants = {work.participants().begin(), work.participants().end()},
            .attempt = work.attempt()},
      num_pairs_(static_cast<int>(work_.owners.size())),
      sum_(num_pairs_ + work.slot_owner_size()) {
  work_.owners.insert(work_.owners.end(), work.slot_owner().begin(), work.slot_owner().end());
}

UpdateStage::~UpdateStage() { end_exchange_of_chunks(); }

Result<std::unique_ptr<UpdateStage>> UpdateStage::create(PipelineRuntime& runtime, std::uint32_t worker,
                                                         const wire::UpdateWork& work,
                                                         std::function<Status()> on_summed) {
  CHECK(work.update() == runtime.trainer().version());
  const std::vector<int> lengths = trained_lengths(work.trajectories());
  const std::vector<int> num_pairs = chunk_pairs(lengths, runtime.config().train.split_tokens);
  const auto num_pairs_total = static_cast<std::size_t>(std::accumulate(num_pairs.begin(), num_pairs.end(), 0));
  if (work.slot_owner().empty()) return Error(ErrorCode::kCorrupt, "was sent an update without gradient slots");
  std::vector<std::uint32_t> pair_owners(work.pair_owner().begin(), work.pair_owner().end());
  if (pair_owners.empty()) pair_owners.assign(num_pairs_total, work.slot_owner(0));
  if (pair_owners.size() != num_pairs_total) {
    return Error(ErrorCode::kCorrupt, "was sent owners of " + std::to_string(pair_owners.size()) +
                                          " chunk pairs of an update that has " + std::to_string(num_pairs_total));
  }
  std::vector<TrainingSample> samples;
  for (const wire::Trajectory& trajectory : work.trajectories()) samples.push_back(to_training_sample(trajectory));
  JIGSAW_ASSIGN_OR_RETURN(BatchAdvantages advantages, compute_advantages(runtime.config().algorithm, samples));
  std::unique_ptr<UpdateStage> stage(
      new UpdateStage(runtime, worker, work, std::move(pair_owners), std::move(on_summed)));
  stage->take_samples(num_pairs, std::move(samples), std::move(advantages));
  if (stage->shares_samples_) {
    if (runtime.split_exchange() == nullptr) {
      return Error(ErrorCode::kCorrupt, "was told to share a sample with others, to whom there are no links");
    }
    runtime.split_exchange()->begin(work.attempt(), stage->work_.participants);
  }
  stage->next_phase();
  return stage;
}

void UpdateStage::take_samples(const std::vector<int>& num_pairs, std::vector<TrainingSample> samples,
                               BatchAdvantages advantages) {
  std::size_t leaf = 0;
  for (std::size_t sample = 0; sample < samples.size(); ++sample) {
    const auto count = static_cast<std::size_t>(num_pairs[sample]);
    if (count == 0) continue;
    Split split{.sample = static_cast<std::uint32_t>(sample),
                .owners = {work_.owners.begin() + static_cast<std::ptrdiff_t>(leaf),
                           work_.owners.begin() + static_cast<std::ptrdiff_t>(leaf + count)},
                .first_leaf = static_cast<int>(leaf),
                .batch = {}};
    for (std::size_t pair = 0; pair < count; ++pair, ++leaf) {
      if (is_own(leaf)) split.batch.pairs.push_back(static_cast<int>(pair));
    }
    if (split.batch.pairs.empty()) continue;
    split.is_shared = split.batch.pairs.size() < count;
    shares_samples_ |= split.is_shared;
    split.batch.name = "sample " + std::to_string(sample) + " of the update";
    split.batch.num_samples_total = advantages.num_samples;
    split.batch.num_tokens_total = advantages.num_tokens;
    split.batch.chunk_begins = chunk_begins(static_cast<int>(samples[sample].tokens.size()), static_cast<int>(count));
    split.batch.sample = std::move(samples[sample]);
    split.batch.advantages = std::move(advantages.per_token[sample]);
    splits_.push_back(std::move(split));
  }
  const std::size_t num_slots = work_.owners.size() - leaf;
  for (std::size_t slot = 0; slot < num_slots; ++slot) {
    if (!is_own(leaf + slot)) continue;
    SlotBatch batch{.slot = static_cast<int>(slot),
                    .samples = {},
                    .advantages = {},
                    .num_samples_total = advantages.num_samples,
                    .num_tokens_total = advantages.num_tokens};
    const auto [begin, end] =
        samples_of_slot(static_cast<int>(samples.size()), static_cast<int>(num_slots), static_cast<int>(slot));
    for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) {
      if (num_pairs[i] > 0) continue;
      batch.samples.push_back(std::move(samples[i]));
      batch.advantages.push_back(std::move(advantages.per_token[i]));
    }
    slots_.emplace(static_cast<int>(slot), std::move(batch));
  }
}

void UpdateStage::next_phase() {
  if (phase_ == Phase::kSplits && splits_.empty()) phase_ = Phase::kSlots;
  if (phase_ == Phase::kSlots && slots_.empty() && current_slot_ < 0) phase_ = Phase::kSummed;
}

bool UpdateStage::runnable() const {
  if (needs_poll_) return false;
  return (phase_ == Phase::kSplits && split_is_runnable_) || phase_ == Phase::kSlots || phase_ == Phase::kApply;
}

Status UpdateStage::run_quantum(Lane& lane) {
  if (phase_ == Phase::kSplits) return run_split_quantum(lane);
  if (phase_ == Phase::kSlots) return run_slot_quantum(lane);
  CHECK(phase_ == Phase::kApply);
  ended_.clear();
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

Status UpdateStage::run_split_quantum(Lane& lane) {
  Split& split = splits_.front();
  if (split.training == nullptr) {
    JIGSAW_ASSIGN_OR_RETURN(split.training, runtime_.trainer().begin_split(std::move(split.batch)));
  } else {
    JIGSAW_RETURN_IF_ERROR(split.training->run_quantum(lane));
  }
  // What the next step reads of others, and writes over, is for poll() to see to.
  needs_poll_ = split.is_shared;
  if (split.training->done()) end_split(lane);
  return ok_status();
}

// Tells others what was made, and asks for what is needed next.
void UpdateStage::exchange_chunks(Split& split) {
  SplitExchange& exchange = *runtime_.split_exchange();
  SplitPass& pass = split.training->pass();
  for (const SplitItem& item : pass.take_made()) exchange.publish({split.sample, item}, pass.made(item));
  for (const SplitExchange::Name& name : exchange.take_arrived()) pass.on_arrived(name.item);
  for (const SplitItem& item : pass.wanted()) {
    exchange.fetch(split.owners[static_cast<std::size_t>(item.pair)], {split.sample, item}, pass.place(item));
  }
  split_is_runnable_ = split.training->runnable();
  if (split_is_runnable_) {
    for (const SplitItem& item : pass.outdated()) exchange.withdraw({split.sample, item});
  }
}

void UpdateStage::end_split(Lane& lane) {
  Split& split = splits_.front();
  SplitSample& training = *split.training;
  const std::vector<int>& pairs = training.batch().pairs;
  if (pairs.front() == 0) add_losses(split.first_leaf, training.result());
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    sum_.add(lane, {split.first_leaf + pairs[i], 0}, training.take_gradient(i));
  }
  if (split.is_shared) ended_.push_back(std::move(split));
  splits_.pop_front();
  next_phase();
}

// Memory that is published is not freed under the exchange.
void UpdateStage::release_ended() {
  for (Split& split : ended_) {
    if (std::exchange(split.is_released, true)) continue;
    runtime_.split_exchange()->withdraw_all_but_gradients(split.sample);
    split.training->pass().release();
  }
}

void UpdateStage::end_exchange_of_chunks() {
  if (std::exchange(shares_samples_, false)) runtime_.split_exchange()->end();
}

Status UpdateStage::run_slot_quantum(Lane& lane) {
  if (current_slot_ < 0) {
    auto next = slots_.begin();
    current_slot_ = next->first;
    runtime_.trainer().begin_slot(std::move(next->second));
    slots_.erase(next);
  }
  JIGSAW_ASSIGN_OR_RETURN(const bool more, runtime_.trainer().run_quantum(lane));
  if (more) return ok_status();
  end_slot(lane);
  next_phase();
  return ok_status();
}

void UpdateStage::end_slot(Lane& lane) {
  add_losses(num_pairs_ + current_slot_, runtime_.trainer().slot_result());
  const std::span<const float> gradient = runtime_.trainer().slot_gradient();
  AlignedFloats buffer = sum_.take_buffer(gradient.size());
  std::copy(gradient.begin(), gradient.end(), buffer.data());
  sum_.add(lane, {num_pairs_ + current_slot_, 0}, std::move(buffer));
  current_slot_ = -1;
}

void UpdateStage::add_losses(int place, const SlotResult& result) {
  wire::LossStats& losses = *stats_.add_losses();
  losses.set_place(static_cast<std::uint32_t>(place));
  losses.set_loss(result.loss);
  losses.set_entropy_sum(result.entropy_sum);
  losses.set_kl_sum(result.kl_sum);
  losses.set_clipped_tokens(result.clipped_tokens);
  losses.set_num_tokens(result.num_tokens);
}

Status UpdateStage::poll() {
  needs_poll_ = false;
  split_is_runnable_ = true;
  release_ended();
  if (phase_ == Phase::kSplits && splits_.front().is_shared && splits_.front().training != nullptr) {
    exchange_chunks(splits_.front());
  }
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
  end_exchange_of_chunks();  // everybody has all pairs of theirs
  phase_ = Phase::kApply;
  return ok_status();
}

// The weights are as they were before it, on this worker.
bool UpdateStage::abandon() {
  end_exchange_of_chunks();
  splits_.clear();
  ended_.clear();
  if (phase_ == Phase::kExchange) runtime_.exchange().abandon();
  runtime_.on_training_ended();
  is_abandoned_ = true;
  phase_ = Phase::kDone;
  return true;
}

std::string UpdateStage::waiting_for() const {
  if (phase_ == Phase::kSplits && !split_is_runnable_) return runtime_.split_exchange()->waiting_for();
  return phase_ == Phase::kExchange ? runtime_.exchange().waiting_for() : "";
}

void UpdateStage::fill(wire::NodeDone& done) {
  if (!is_abandoned_) *done.mutable_update() = stats_;
}

}  // namespace jigsaw
