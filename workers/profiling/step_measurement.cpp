#include "workers/profiling/step_measurement.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

#include "core/clock.h"
#include "workers/profiling/arithmetic.h"
#include "workers/stages/logprob_stage.h"
#include "workers/stages/rollout_stage.h"
#include "workers/stages/sync_stage.h"
#include "workers/stages/training_samples.h"
#include "workers/stages/update_stage.h"

namespace jigsaw {
namespace {

constexpr std::uint32_t kWorker = 1;

double seconds_between(Clock::TimePoint begin, Clock::TimePoint end) {
  return std::chrono::duration<double>(end - begin).count();
}

class StepRunner {
 public:
  StepRunner(PipelineRuntime& runtime, Executor& executor, TokenBins bins)
      : runtime_(runtime), executor_(executor), bins_(bins) {}

  Result<StepSeconds> run(std::int64_t step) {
    seconds_ = {};
    JIGSAW_RETURN_IF_ERROR(roll_out(step));
    JIGSAW_RETURN_IF_ERROR(score());
    JIGSAW_RETURN_IF_ERROR(update());
    JIGSAW_RETURN_IF_ERROR(sync());
    return seconds_;
  }
  const std::vector<wire::Trajectory>& trajectories() const { return trajectories_; }

 private:
  // Returns what the sub-stage has to tell; adds its time.
  Result<wire::NodeDone> run_stage(std::unique_ptr<SubStage> stage, double& seconds) {
    const Clock::TimePoint begin = system_clock().now();
    executor_.start(1, 0, 1.0, std::move(stage));
    for (;;) {
      JIGSAW_ASSIGN_OR_RETURN(const bool has_run, executor_.step());
      if (const std::vector<Executor::Entry> done = executor_.take_done(); !done.empty()) {
        seconds += seconds_between(begin, system_clock().now());
        wire::NodeDone told;
        done.front().stage->fill(told);
        return told;
      }
      if (!has_run) std::this_thread::sleep_for(Executor::kPollEvery);  // for rewards
    }
  }

  Status roll_out(std::int64_t step) {
    trajectories_.clear();
    std::optional<Clock::TimePoint> tail_from, completed;
    RolloutListener listener;
    listener.on_trajectory = [this](wire::Trajectory trajectory) {
      trajectories_.push_back(std::move(trajectory));
      return ok_status();
    };
    listener.on_entered = [&](RolloutPhase::Place place) {
      const SubStageKind kind = place.kind;
      (kind == SubStageKind::kReward ? completed : tail_from) = system_clock().now();
      if (kind == SubStageKind::kDecodeBulk) tail_from.reset();
      return ok_status();
    };
    wire::RolloutWork work;
    work.set_policy_version(runtime_.trainer().version());
    const int num_samples = runtime_.config().samples_per_step();
    for (int sample = 0; sample < num_samples; ++sample) work.add_samples(static_cast<std::uint32_t>(sample));
    JIGSAW_ASSIGN_OR_RETURN(std::unique_ptr<SubStage> stage,
                            RolloutStage::create(runtime_, step, work, bins_, std::move(listener)));
    double total_s = 0;
    JIGSAW_RETURN_IF_ERROR(run_stage(std::move(stage), total_s));
    const Clock::TimePoint end = system_clock().now();
    seconds_.reward_s = completed ? seconds_between(*completed, end) : 0;
    seconds_.rollout_s = std::max(0.0, total_s - seconds_.reward_s);
    seconds_.tail_s =
        tail_from ? std::min(seconds_between(*tail_from, completed.value_or(end)), seconds_.rollout_s) : 0;
    std::ranges::sort(trajectories_, {}, [](const wire::Trajectory& trajectory) { return trajectory.sample(); });
    return ok_status();
  }

  Status score() {
    if (runtime_.reference() == nullptr) return ok_status();
    wire::LogprobWork work;
    for (const wire::Trajectory& trajectory : trajectories_) *work.add_trajectories() = trajectory;
    JIGSAW_ASSIGN_OR_RETURN(const wire::NodeDone told,
                            run_stage(std::make_unique<LogprobStage>(runtime_, work), seconds_.ref_logprob_s));
    for (int i = 0; i < told.trajectories_size(); ++i) {
      *trajectories_[static_cast<std::size_t>(i)].mutable_ref_logprobs() = told.trajectories(i).ref_logprobs();
    }
    return ok_status();
  }

  Status update() {
    const PipelineConfig& config = runtime_.config();
    const std::int64_t prompts = config.rollout.prompts_per_step, updates = config.train.updates_per_step;
    for (std::int64_t update = 0; update < updates; ++update) {
      wire::UpdateWork work;
      work.set_update(runtime_.trainer().version());
      const std::int64_t begin = prompts * update / updates * config.rollout.group_size;
      const std::int64_t end = prompts * (update + 1) / updates * config.rollout.group_size;
      for (std::int64_t i = begin; i < end; ++i) *work.add_trajectories() = trajectories_[static_cast<std::size_t>(i)];
      for (int slot = 0; slot < config.train.grad_slots; ++slot) work.add_slot_owner(kWorker);
      JIGSAW_ASSIGN_OR_RETURN(std::unique_ptr<SubStage> stage, UpdateStage::create(runtime_, kWorker, work));
      JIGSAW_RETURN_IF_ERROR(run_stage(std::move(stage), seconds_.update_s));
    }
    return ok_status();
  }

  Status sync() {
    if (!runtime_.has_rollout_copy()) return ok_status();
    wire::SyncWork work;
    work.set_policy_version(runtime_.trainer().version());
    const auto told = run_stage(std::make_unique<SyncStage>(runtime_, work), seconds_.sync_s);
    return told.ok() ? ok_status() : told.error();
  }

  PipelineRuntime& runtime_;
  Executor& executor_;
  TokenBins bins_;
  StepSeconds seconds_;
  std::vector<wire::Trajectory> trajectories_;  // of the last step, by sample
};

}  // namespace

StepSeconds mean_seconds(const std::vector<StepSeconds>& steps) {
  const auto mean_of = [&](double StepSeconds::*field) {
    std::vector<double> values;
    for (std::size_t i = steps.size() > 1 ? 1 : 0; i < steps.size(); ++i) values.push_back(steps[i].*field);
    return mean(values);
  };
  return {.rollout_s = mean_of(&StepSeconds::rollout_s),
          .tail_s = mean_of(&StepSeconds::tail_s),
          .reward_s = mean_of(&StepSeconds::reward_s),
          .ref_logprob_s = mean_of(&StepSeconds::ref_logprob_s),
          .update_s = mean_of(&StepSeconds::update_s),
          .sync_s = mean_of(&StepSeconds::sync_s)};
}

Result<StepMeasurement> measure_steps(PipelineRuntime& runtime, Executor& executor, TokenBins bins, int num_steps,
                                      double seconds_max) {
  CHECK(num_steps >= 1);
  const Clock::TimePoint begin = system_clock().now();
  StepRunner runner(runtime, executor, bins);
  StepMeasurement measured;
  for (int step = 1; step <= num_steps; ++step) {
    if (step > 1 && seconds_between(begin, system_clock().now()) >= seconds_max) break;
    JIGSAW_ASSIGN_OR_RETURN(const StepSeconds seconds, runner.run(step));
    measured.steps.push_back(seconds);
    for (const wire::Trajectory& trajectory : runner.trajectories()) {
      const double prompt = trajectory.prompt_length();
      measured.prompt_tokens.push_back(prompt);
      measured.response_tokens.push_back(trajectory.tokens_size() - prompt);
    }
  }
  for (const wire::Trajectory& trajectory : runner.trajectories()) {
    measured.samples.push_back(to_training_sample(trajectory));
  }
  return measured;
}

}  // namespace jigsaw
