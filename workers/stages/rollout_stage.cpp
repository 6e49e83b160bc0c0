#include "workers/stages/rollout_stage.h"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <utility>

#include "core/wire/drawn_tokens.h"
#include "workers/stages/given_tokens.h"

namespace jigsaw {
namespace {

template <typename T>
std::span<const T> all_of(const google::protobuf::RepeatedField<T>& field) {
  return {field.data(), static_cast<std::size_t>(field.size())};
}

SequenceProgress progress_of(const RolloutOutput& output) {
  return {.tokens = output.tokens, .logprobs = output.logprobs, .given = output.given};
}

}  // namespace

Result<std::unique_ptr<RolloutStage>> RolloutStage::create(PipelineRuntime& runtime, std::int64_t step,
                                                           const wire::RolloutWork& work, TokenBins bins,
                                                           RolloutListener listener) {
  runtime.use_rollout_weights(work.policy_version());
  std::unique_ptr<RolloutStage> stage(new RolloutStage(
      runtime, step, RolloutPhase(bins, work.samples_size(), runtime.config().num_turns()), std::move(listener)));
  std::map<std::uint32_t, const wire::PartialRollout*> partials;
  for (const wire::PartialRollout& partial : work.partials()) partials[partial.sample()] = &partial;
  for (const std::uint32_t index : work.samples()) {
    const auto found = partials.find(index);
    const wire::PartialRollout& partial =
        found == partials.end() ? wire::PartialRollout::default_instance() : *found->second;
    JIGSAW_ASSIGN_OR_RETURN(PipelineRuntime::SampleRequest made, runtime.sample_request(step, index));
    const std::vector<TokenRun> given = runs_of(partial.given());
    const SequenceProgress completion{
        .tokens = all_of(partial.tokens()), .logprobs = all_of(partial.logprobs()), .given = given};
    JIGSAW_RETURN_IF_ERROR(stage->add_sample(std::move(made), completion, nullptr));
  }
  return stage;
}

Status RolloutStage::add_sample(PipelineRuntime::SampleRequest made, const SequenceProgress& completion,
                                const KvImport* kv) {
  const auto index = static_cast<std::uint32_t>(made.request.id);
  made.request.partial_tokens.assign(completion.tokens.begin(), completion.tokens.end());
  made.request.partial_logprobs.assign(completion.logprobs.begin(), completion.logprobs.end());
  made.request.partial_given.assign(completion.given.begin(), completion.given.end());
  Sample sample;
  sample.trajectory.set_sample(index);
  sample.trajectory.set_prompt_index(made.prompt.index);
  sample.trajectory.set_policy_version(runtime_.rollout_version());
  sample.trajectory.set_prompt_text(made.prompt_text);
  sample.trajectory.set_prompt_length(static_cast<std::uint32_t>(made.request.prompt.size()));
  for (const TokenId token : made.request.prompt) sample.trajectory.add_tokens(token);
  sample.prompt = std::move(made.prompt);
  const Status status = [&]() -> Status {
    if (kv == nullptr) return runtime_.engine().submit(std::move(made.request));
    const auto adopted = runtime_.engine().submit_with_kv(std::move(made.request), *kv);
    return adopted.ok() ? ok_status() : Status(adopted.error());
  }();
  if (!status.ok()) {
    return status.error().with_context("prompt " + std::to_string(sample.prompt.index) + " of task '" +
                                       runtime_.task().name() + "'");
  }
  samples_[index] = std::move(sample);
  return ok_status();
}

Status RolloutStage::run_quantum(Lane& lane) {
  const auto begin = std::chrono::steady_clock::now();
  EngineStep step = runtime_.engine().step(lane);
  recomputed_tokens_ += step.recomputed_tokens;
  std::ranges::move(step.finished, std::back_inserter(ended_));
  std::ranges::copy(step.paused, std::back_inserter(paused_));
  if (runtime_.engine().idle()) runtime_.on_rollout_ended();
  if (step.prefill_tokens > step.decode_tokens) {
    prefill_.rows += step.prefill_tokens + step.decode_tokens;
    prefill_.seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  }
  const int num_rows = step.decode_tokens + step.prefill_tokens;
  if (num_rows == 0) return ok_status();  // first tokens out of cached prompts only
  if (const auto place = phase_.after_pass(num_rows, runtime_.engine().num_waiting())) entered_ = place;
  return ok_status();
}

Status RolloutStage::ask_for_reward(const RolloutOutput& output) {
  Sample& sample = samples_.at(output.id);
  wire::Trajectory& trajectory = sample.trajectory;
  for (const TokenId token : output.tokens) trajectory.add_tokens(token);
  for (const float logprob : output.logprobs) trajectory.add_logprobs(logprob);
  add_runs(output.given, *trajectory.mutable_given());
  trajectory.set_truncated(output.finish_reason == FinishReason::kLength);
  trajectory.set_completion_text(runtime_.completion_text(output));
  sample.reward_id = runtime_.next_request_id();
  sample_of_reward_[sample.reward_id] = output.id;
  return runtime_.reward().submit({.id = sample.reward_id,
                                   .prompt = trajectory.prompt_text(),
                                   .completion = trajectory.completion_text(),
                                   .answer = sample.prompt.answer,
                                   .extra_json = sample.prompt.extra_json,
                                   .num_tokens = static_cast<int>(num_drawn_tokens(trajectory)),
                                   .truncated = trajectory.truncated(),
                                   .prompt_index = sample.prompt.index});
}

Status RolloutStage::poll() {
  for (const RolloutOutput& output : std::exchange(ended_, {})) JIGSAW_RETURN_IF_ERROR(ask_for_reward(output));
  JIGSAW_RETURN_IF_ERROR(ask_tools());
  JIGSAW_RETURN_IF_ERROR(take_answers());
  JIGSAW_RETURN_IF_ERROR(take_rewards());
  const bool none_decodes =
      !runtime_.engine().has_work() && num_expected_ == 0 &&
      std::ranges::none_of(samples_, [](const auto& entry) { return entry.second.frozen.has_value(); });
  if (!done() && none_decodes) {
    if (const auto place = calls_.waits() ? phase_.wait_for_tools() : phase_.wait_for_rewards()) entered_ = place;
  }
  const auto entered = std::exchange(entered_, std::nullopt);
  if (entered && !done() && listener_.on_entered) JIGSAW_RETURN_IF_ERROR(listener_.on_entered(*entered));
  return phase_.kind() == SubStageKind::kDecodeTail && listener_.on_progress ? tell_progress() : ok_status();
}

Status RolloutStage::ask_tools() {
  for (const std::uint64_t index : std::exchange(paused_, {})) {
    const auto completion = runtime_.engine().progress(index);
    if (!completion) continue;  // it was taken out meanwhile
    const Sample& sample = samples_.at(index);
    JIGSAW_RETURN_IF_ERROR(calls_.ask(index, *completion, sample.prompt, sample.trajectory.prompt_text()));
  }
  return ok_status();
}

Status RolloutStage::take_answers() {
  JIGSAW_ASSIGN_OR_RETURN(const std::vector<ToolCalls::Answer> answers, calls_.take_answers());
  for (const ToolCalls::Answer& answer : answers) {
    wire::Trajectory& trajectory = samples_.at(answer.sample).trajectory;
    if (trajectory.tool_error().empty()) trajectory.set_tool_error(answer.error);
    JIGSAW_RETURN_IF_ERROR(runtime_.engine().give(answer.sample, answer.tokens));
  }
  return ok_status();
}

// Whoever listens can work out for itself how tokens grow while nothing else changes.
Status RolloutStage::tell_progress() {
  RunningSamples running;
  for (const std::uint64_t sample : running_samples()) {
    ++running.count;
    running.mean_tokens += static_cast<double>(runtime_.engine().progress(sample)->tokens.size());
  }
  if (running.count == std::exchange(told_count_, running.count) || running.count == 0) return ok_status();
  running.mean_tokens /= running.count;
  return listener_.on_progress(running);
}

std::string RolloutStage::waiting_for() const {
  if (runnable()) return "";
  const auto num_frozen =
      std::ranges::count_if(samples_, [](const auto& entry) { return entry.second.frozen.has_value(); });
  if (num_frozen > 0) return std::to_string(num_frozen) + " samples that are moving to another worker";
  if (num_expected_ > 0) return std::to_string(num_expected_) + " samples that are to come from another worker";
  return calls_.waits() ? calls_.waiting_for() : runtime_.reward().waiting_for();
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

// The last token is left out where it was drawn: whoever goes on draws it again, the same, and sees by it whether the
// completion has ended.
void RolloutStage::keep_partial(std::uint64_t index, const SequenceProgress& completion) {
  const auto count = static_cast<int>(completion.tokens.size());
  const bool ends_given = !completion.given.empty() && completion.given.back().end == count;
  const int num_kept = ends_given ? count : count - 1;
  if (num_kept < 1) return;
  wire::PartialRollout& partial = partials_.emplace_back();
  partial.set_sample(static_cast<std::uint32_t>(index));
  for (const TokenId token : completion.tokens.first(static_cast<std::size_t>(num_kept))) partial.add_tokens(token);
  for (const float logprob : completion.logprobs.first(static_cast<std::size_t>(num_kept))) {
    partial.add_logprobs(logprob);
  }
  add_runs(completion.given, *partial.mutable_given());
}

bool RolloutStage::cancel() {
  for (const RolloutOutput& output : std::exchange(ended_, {})) keep_partial(output.id, progress_of(output));
  for (const auto& [index, sample] : samples_) {
    if (const auto running = runtime_.engine().cancel(index)) {
      keep_partial(index, progress_of(*running));
    } else if (sample.frozen) {
      keep_partial(index, progress_of(*sample.frozen));
    } else if (sample.reward_id != 0) {
      const wire::Trajectory& ended = sample.trajectory;
      const std::vector<TokenRun> given = runs_of(ended.given());
      keep_partial(index, {.tokens = all_of(ended.tokens()).subspan(ended.prompt_length()),
                           .logprobs = all_of(ended.logprobs()),
                           .given = given});
    }
  }
  paused_.clear();
  calls_.drop_all();
  samples_.clear();
  sample_of_reward_.clear();
  num_expected_ = 0;
  if (runtime_.engine().idle()) runtime_.on_rollout_ended();
  return true;
}

std::vector<std::uint64_t> RolloutStage::running_samples() const {
  std::vector<std::uint64_t> running;
  for (const auto& [index, sample] : samples_) {
    if (runtime_.engine().progress(index)) running.push_back(index);
  }
  return running;
}

std::optional<std::size_t> RolloutStage::num_tokens(std::uint64_t sample) const {
  const auto progress = runtime_.engine().progress(sample);
  if (!progress) return std::nullopt;
  return samples_.at(sample).trajectory.prompt_length() + progress->tokens.size();
}

std::optional<wire::SequenceSnapshot> RolloutStage::snapshot(std::uint64_t sample) const {
  const auto progress = runtime_.engine().progress(sample);
  if (!progress) return std::nullopt;
  const wire::Trajectory& prompt = samples_.at(sample).trajectory;
  wire::SequenceSnapshot snapshot;
  snapshot.set_step(step_);
  snapshot.set_policy_version(prompt.policy_version());
  snapshot.set_sample(prompt.sample());
  *snapshot.mutable_tokens() = prompt.tokens();
  snapshot.mutable_tokens()->Add(progress->tokens.begin(), progress->tokens.end());
  snapshot.set_prompt_length(prompt.prompt_length());
  snapshot.mutable_logprobs()->Add(progress->logprobs.begin(), progress->logprobs.end());
  add_runs(progress->given, *snapshot.mutable_given());
  return snapshot;
}

Status RolloutStage::check_room_for(std::size_t num_tokens) const {
  if (done() || phase_.kind() == SubStageKind::kReward) {
    return Error(ErrorCode::kUnavailable, "the rollout decodes no more");
  }
  const RolloutEngine& engine = runtime_.engine();
  const int num_sequences = engine.num_running() + engine.num_waiting() + engine.num_paused() + num_expected_;
  if (num_sequences >= runtime_.config().rollout.engine.max_batch) {
    return Error(ErrorCode::kResourceExhausted, "rollout.max_batch sequences are there already");
  }
  if (engine.kv_positions_free() < static_cast<std::int64_t>(num_tokens)) {
    return Error(ErrorCode::kResourceExhausted,
                 "its KV cache has no room for " + std::to_string(num_tokens) + " tokens");
  }
  return ok_status();
}

bool RolloutStage::take_out(std::uint64_t sample) {
  const auto found = samples_.find(sample);
  if (found == samples_.end()) return false;
  found->second.frozen = runtime_.engine().cancel(sample);
  calls_.drop(sample);
  if (runtime_.engine().idle()) runtime_.on_rollout_ended();
  return found->second.frozen.has_value();
}

void RolloutStage::put_back(std::uint64_t sample) {
  const RolloutOutput frozen = *std::exchange(samples_.at(sample).frozen, std::nullopt);
  auto made = runtime_.sample_request(step_, static_cast<std::uint32_t>(sample));
  CHECK(made.ok());  // it ran here before
  CHECK(add_sample(*std::move(made), progress_of(frozen), nullptr).ok());
}

void RolloutStage::give_away(std::uint64_t sample) {
  CHECK(samples_.at(sample).frozen);
  samples_.erase(sample);
}

Status RolloutStage::take_in(const wire::SequenceSnapshot& snapshot, const KvImport* kv) {
  const std::uint32_t index = snapshot.sample();
  const std::string name = "sample " + std::to_string(index);
  if (samples_.contains(index)) return Error(ErrorCode::kCorrupt, name + " is here already");
  if (snapshot.step() != step_ || snapshot.policy_version() != runtime_.rollout_version()) {
    return Error(ErrorCode::kCorrupt, name + " is of another step or of other weights");
  }
  JIGSAW_ASSIGN_OR_RETURN(PipelineRuntime::SampleRequest made, runtime_.sample_request(step_, index));
  const std::span<const TokenId> tokens = all_of(snapshot.tokens());
  if (snapshot.prompt_length() != made.request.prompt.size() ||
      !std::ranges::equal(tokens.first(snapshot.prompt_length()), made.request.prompt)) {
    return Error(ErrorCode::kCorrupt, name + " has another prompt than here");
  }
  const std::vector<TokenRun> given = runs_of(snapshot.given());
  const SequenceProgress completion{
      .tokens = tokens.subspan(snapshot.prompt_length()), .logprobs = all_of(snapshot.logprobs()), .given = given};
  return add_sample(std::move(made), completion, kv);
}

}  // namespace jigsaw
