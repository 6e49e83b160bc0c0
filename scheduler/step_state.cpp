#include "scheduler/step_state.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "core/check.h"
#include "core/wire/drawn_tokens.h"

namespace jigsaw {
namespace {

double seconds_between(Clock::TimePoint begin, Clock::TimePoint end) {
  return std::chrono::duration<double>(end - begin).count();
}

double mean_of(const std::vector<double>& values, std::size_t begin, std::size_t end) {
  if (begin >= end) return 0;
  const auto first = values.begin();
  return std::accumulate(first + static_cast<std::ptrdiff_t>(begin), first + static_cast<std::ptrdiff_t>(end), 0.0) /
         static_cast<double>(end - begin);
}

}  // namespace

void PipelineTotals::add(const StepReport& report) {
  ++steps;
  tokens += report.completion_tokens;
  recomputed_tokens += report.recomputed_tokens;
  step_s += report.step_s;
  alone_s += report.alone_s;
  rewards.push_back(report.reward_mean);
  weights_hash = report.weights_hash;
  policy_version = report.policy_version;
}

PipelineSummary PipelineTotals::summary(const std::string& name) const {
  PipelineSummary summary;
  summary.name = name;
  summary.steps = steps;
  summary.tokens = tokens;
  summary.step_s_mean = steps > 0 ? step_s / static_cast<double>(steps) : 0;
  summary.latency_factor = alone_s > 0 ? step_s / alone_s : 1;
  const std::size_t tenth = std::max<std::size_t>(1, rewards.size() / 10);
  summary.reward_first = mean_of(rewards, 0, std::min(tenth, rewards.size()));
  summary.reward_last = mean_of(rewards, rewards.size() - std::min(tenth, rewards.size()), rewards.size());
  summary.weights_hash = weights_hash;
  return summary;
}

void StepState::begin(int pipeline, const PipelineSpec& spec, std::int64_t step, Clock::TimePoint now) {
  *this = StepState();
  pipeline_ = pipeline;
  step_ = step;
  begin_ = rollout_end_ = logprob_end_ = now;
  trajectories_.resize(static_cast<std::size_t>(spec.samples_per_step()));
  updates_.resize(static_cast<std::size_t>(spec.updates_per_step));
}

Status StepState::add_trajectory(wire::Trajectory trajectory) {
  const std::uint32_t sample = trajectory.sample();
  if (sample >= trajectories_.size()) {
    return Error(ErrorCode::kCorrupt, "sample " + std::to_string(sample) + " is not of this step");
  }
  if (trajectories_[sample]) return Error(ErrorCode::kCorrupt, "sample " + std::to_string(sample) + " came twice");
  trajectories_[sample] = std::move(trajectory);
  ++num_trajectories_;
  return ok_status();
}

Status StepState::add_reference(const wire::Trajectory& scored) {
  const std::uint32_t sample = scored.sample();
  if (sample >= trajectories_.size() || !trajectories_[sample] ||
      scored.ref_logprobs_size() != trajectories_[sample]->logprobs_size()) {
    return Error(ErrorCode::kCorrupt, "reference log-probs do not fit sample " + std::to_string(sample));
  }
  *trajectories_[sample]->mutable_ref_logprobs() = scored.ref_logprobs();
  references_.insert(sample);
  return ok_status();
}

Status StepState::add_update(int update, const wire::UpdateStats& stats) {
  Update& sum = updates_[static_cast<std::size_t>(update)];
  if (!sum.weights_hash.empty() && sum.weights_hash != stats.weights_hash()) {
    return Error(ErrorCode::kInternal,
                 "workers disagree about the weights after update " + std::to_string(update) + " of step " +
                     std::to_string(step_) + ": " + sum.weights_hash + " and " + stats.weights_hash() +
                     "; memory or CPU of a worker may be faulty: resume from the last checkpoint");
  }
  if (std::exchange(sum.is_made_again, false)) {
    sum = Update{.losses = {}, .stats = {}, .weights_hash = std::move(sum.weights_hash)};
  }
  for (const wire::LossStats& losses : stats.losses()) sum.losses[losses.place()] = losses;
  sum.stats = stats;
  sum.weights_hash = stats.weights_hash();
  sum.seen = true;
  return ok_status();
}

void StepState::restart_update(int update) { updates_[static_cast<std::size_t>(update)].is_made_again = true; }

void StepState::add_partial(const wire::PartialRollout& partial) {
  if (partial.sample() >= trajectories_.size() || partial.tokens_size() != partial.logprobs_size()) return;
  wire::PartialRollout& kept = partials_[partial.sample()];
  if (partial.tokens_size() > kept.tokens_size()) kept = partial;
}

const wire::PartialRollout* StepState::partial(std::uint32_t sample) const {
  const auto found = partials_.find(sample);
  return found == partials_.end() ? nullptr : &found->second;
}

void StepState::add_node(const Node& node, double work_s, Clock::TimePoint now) {
  if (is_rollout(node.kind)) rollout_end_ = logprob_end_ = now;
  if (node.kind == SubStageKind::kLogprob) logprob_end_ = now;
  if (node.kind == SubStageKind::kCheckpoint) return;
  const SubStageKind layer = is_rollout(node.kind) ? SubStageKind::kPrefill : node.kind;
  work_s_[{layer, node.update}][node.worker] += work_s;
}

StepReport StepState::report(const PipelineSpec& spec, Clock::TimePoint now) {
  StepReport report;
  report.pipeline = pipeline_;
  report.step = step_;
  report.steps_total = spec.steps;
  report.num_samples = num_trajectories_;
  double sum = 0, sum_of_squares = 0;
  for (auto& slot : trajectories_) {
    CHECK(slot.has_value());
    const wire::Trajectory& trajectory = *slot;
    sum += trajectory.reward();
    report.completion_tokens += num_drawn_tokens(trajectory);
    report.tool_calls += trajectory.given_size() / 2;
    report.prompt_tokens += trajectory.prompt_length();
    report.truncated += trajectory.truncated() ? 1 : 0;
    for (const auto& [name, value] : trajectory.reward_parts()) {
      report.reward_parts[name] += value / static_cast<double>(num_trajectories_);
    }
    if (!trajectory.reward_error().empty()) {
      if (report.reward_errors++ == 0) report.reward_error = trajectory.reward_error();
    }
    if (!trajectory.tool_error().empty()) {
      if (report.tool_errors++ == 0) report.tool_error = trajectory.tool_error();
    }
  }
  const double count = static_cast<double>(num_trajectories_);
  report.reward_mean = sum / count;
  for (const auto& slot : trajectories_) sum_of_squares += std::pow(slot->reward() - report.reward_mean, 2);
  report.reward_std = num_trajectories_ > 1 ? std::sqrt(sum_of_squares / (count - 1)) : 0;
  std::int64_t tokens = 0;
  for (const Update& update : updates_) {
    CHECK(update.seen);
    const double share = 1.0 / static_cast<double>(updates_.size());
    double loss = 0;
    for (const auto& [place, losses] : update.losses) {
      loss += losses.loss();
      report.entropy += losses.entropy_sum();
      report.kl += losses.kl_sum();
      report.clip_share += losses.clipped_tokens();
      tokens += losses.num_tokens();
    }
    report.loss += loss * share;
    report.grad_norm += update.stats.grad_norm() * share;
    report.lr += update.stats.lr() * share;
    report.policy_version = update.stats.policy_version();
    report.weights_hash = update.stats.weights_hash();
  }
  for (double* value : {&report.entropy, &report.kl, &report.clip_share})
    *value /= static_cast<double>(std::max<std::int64_t>(tokens, 1));
  report.recomputed_tokens = recomputed_tokens_;
  report.step_s = seconds_between(begin_, now);
  report.rollout_s = seconds_between(begin_, rollout_end_);
  report.logprob_s = seconds_between(rollout_end_, logprob_end_);
  report.update_s = seconds_between(logprob_end_, now);
  for (const auto& [layer, by_worker] : work_s_) {
    double longest = 0;
    for (const auto& [worker, seconds] : by_worker) longest = std::max(longest, seconds);
    report.alone_s += longest;
  }
  for (auto& slot : trajectories_) report.trajectories.push_back(std::move(*slot));
  return report;
}

}  // namespace jigsaw
