#include "workers/stages/rollout_stage.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace jigsaw {

Result<std::unique_ptr<RolloutStage>> RolloutStage::create(PipelineRuntime& runtime, std::int64_t step,
                                                           const wire::RolloutWork& work, TokenBins bins,
                                                           RolloutListener listener) {
  CHECK(work.policy_version() == runtime.rollout_version());
  std::unique_ptr<RolloutStage> stage(
      new RolloutStage(runtime, RolloutPhase(bins, work.samples_size()), std::move(listener)));
  std::map<std::uint32_t, const wire::PartialRollout*> partials;
  for (const wire::PartialRollout& partial : work.partials()) partials[partial.sample()] = &partial;
  for (const std::uint32_t index : work.samples()) {
    JIGSAW_ASSIGN_OR_RETURN(PipelineRuntime::SampleRequest made, runtime.sample_request(step, index));
    if (const auto partial = partials.find(index); partial != partials.end()) {
      made.request.partial_tokens.assign(partial->second->tokens().begin(), partial->second->tokens().end());
      made.request.partial_logprobs.assign(partial->second->logprobs().begin(), partial->second->logprobs().end());
    }
    Sample sample;
    sample.trajectory.set_sample(index);
    sample.trajectory.set_prompt_index(made.prompt.index);
    sample.trajectory.set_policy_version(work.policy_version());
    sample.trajectory.set_prompt_text(made.prompt_text);
    sample.trajectory.set_prompt_length(static_cast<std::uint32_t>(made.request.prompt.size()));
    for (const TokenId token : made.request.prompt) sample.trajectory.add_tokens(token);
    sample.prompt = std::move(made.prompt);
    if (const Status status = runtime.engine().submit(std::move(made.request)); !status.ok()) {
      return status.error().with_context("prompt " + std::to_string(sample.prompt.index) + " of task '" +
                                         runtime.task().name() + "'");
    }
    stage->samples_[index] = std::move(sample);
  }
  return stage;
}

Status RolloutStage::run_quantum(Lane& lane) {
  EngineStep step = runtime_.engine().step(lane);
  recomputed_tokens_ += step.recomputed_tokens;
  std::ranges::move(step.finished, std::back_inserter(ended_));
  if (runtime_.engine().idle()) runtime_.on_rollout_ended();
  const int num_rows = step.decode_tokens + step.prefill_tokens;
  if (num_rows == 0) return ok_status();  // first tokens out of cached prompts only
  if (const auto kind = phase_.after_pass(num_rows, runtime_.engine().num_waiting())) entered_ = kind;
  return ok_status();
}

Status RolloutStage::ask_for_reward(const RolloutOutput& output) {
  Sample& sample = samples_.at(output.id);
  wire::Trajectory& trajectory = sample.trajectory;
  for (const TokenId token : output.tokens) trajectory.add_tokens(token);
  for (const float logprob : output.logprobs) trajectory.add_logprobs(logprob);
  trajectory.set_truncated(output.finish_reason == FinishReason::kLength);
  trajectory.set_completion_text(runtime_.completion_text(output));
  sample.reward_id = runtime_.next_reward_id();
  sample_of_reward_[sample.reward_id] = output.id;
  return runtime_.reward().submit({.id = sample.reward_id,
                                   .prompt = trajectory.prompt_text(),
                                   .completion = trajectory.completion_text(),
                                   .answer = sample.prompt.answer,
                                   .extra_json = sample.prompt.extra_json,
                                   .num_tokens = static_cast<int>(output.tokens.size()),
                                   .truncated = trajectory.truncated(),
                                   .prompt_index = sample.prompt.index});
}

Status RolloutStage::poll() {
  for (const RolloutOutput& output : std::exchange(ended_, {})) JIGSAW_RETURN_IF_ERROR(ask_for_reward(output));
  JIGSAW_RETURN_IF_ERROR(take_rewards());
  if (!done() && runtime_.engine().idle()) {
    if (const auto kind = phase_.wait_for_rewards()) entered_ = kind;
  }
  const auto entered = std::exchange(entered_, std::nullopt);
  return entered && !done() ? listener_.on_entered(*entered) : ok_status();
}

Status RolloutStage::take_rewards() {
  JIGSAW_ASSIGN_OR_RETURN(const std::vector<RewardReply> replies, runtime_.reward().poll(std::chrono::milliseconds(0)));
  for (const RewardReply& reply : replies) {
    const auto asked = sample_of_reward_.find(reply.id);
    if (asked == sample_of_reward_.end()) continue;  // of a rollout that was cancelled meanwhile
    const auto sample = samples_.find(asked->second);
    sample_of_reward_.erase(asked);
    wire::Trajectory& trajectory = sample->second.trajectory;
    trajectory.set_reward(reply.reward);
    for (const auto& [name, value] : reply.parts) (*trajectory.mutable_reward_parts())[name] = value;
    trajectory.set_reward_error(reply.error);
    JIGSAW_RETURN_IF_ERROR(listener_.on_trajectory(std::move(trajectory)));
    samples_.erase(sample);
  }
  return ok_status();
}

void RolloutStage::fill(wire::NodeDone& done) {
  done.set_recomputed_tokens(recomputed_tokens_);
  for (wire::PartialRollout& partial : partials_) *done.add_partials() = std::move(partial);
}

// The last token is left out: whoever goes on draws it again, the same, and sees by it whether the completion has
// ended.
void RolloutStage::keep_partial(std::uint64_t index, std::span<const TokenId> tokens, std::span<const float> logprobs) {
  if (tokens.size() < 2) return;
  wire::PartialRollout& partial = partials_.emplace_back();
  partial.set_sample(static_cast<std::uint32_t>(index));
  for (const TokenId token : tokens.first(tokens.size() - 1)) partial.add_tokens(token);
  for (const float logprob : logprobs.first(tokens.size() - 1)) partial.add_logprobs(logprob);
}

bool RolloutStage::cancel() {
  for (const RolloutOutput& output : std::exchange(ended_, {})) keep_partial(output.id, output.tokens, output.logprobs);
  for (const auto& [index, sample] : samples_) {
    if (const auto running = runtime_.engine().cancel(index)) {
      keep_partial(index, running->tokens, running->logprobs);
    } else if (sample.reward_id != 0) {
      const wire::Trajectory& ended = sample.trajectory;
      const std::span<const TokenId> tokens(ended.tokens().data(), static_cast<std::size_t>(ended.tokens_size()));
      const std::span<const float> logprobs(ended.logprobs().data(), static_cast<std::size_t>(ended.logprobs_size()));
      keep_partial(index, tokens.subspan(ended.prompt_length()), logprobs);
    }
  }
  samples_.clear();
  sample_of_reward_.clear();
  if (runtime_.engine().idle()) runtime_.on_rollout_ended();
  return true;
}

}  // namespace jigsaw
