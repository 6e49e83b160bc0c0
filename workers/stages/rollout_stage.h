// Rolls out some samples of a step and asks for their rewards as they end. A quantum is one forward pass of the engine.
// Rewards are asked for in poll(): external ones end with the thread that started them, which is to be the executor's.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/wire/messages.pb.h"
#include "workers/pipeline_runtime.h"
#include "workers/stages/rollout_phase.h"
#include "workers/sub_stage.h"

namespace jigsaw {

// Whom a rollout tells; both are called from poll().
struct RolloutListener {
  std::function<Status(wire::Trajectory)> on_trajectory;  // once a sample, with its reward
  std::function<Status(SubStageKind)> on_entered;         // each sub-stage after the first
};

class RolloutStage : public SubStage {
 public:
  // `runtime` outlives the stage.
  static Result<std::unique_ptr<RolloutStage>> create(PipelineRuntime& runtime, std::int64_t step,
                                                      const wire::RolloutWork& work, TokenBins bins,
                                                      RolloutListener listener);

  PipelineParts uses() const override {
    return runtime_.has_rollout_copy() ? PipelineParts::kRollout : PipelineParts::kAll;
  }
  Status poll() override;
  bool runnable() const override { return !samples_.empty() && !runtime_.engine().idle(); }
  Status run_quantum(Lane& lane) override;
  bool done() const override { return samples_.empty(); }
  // What the samples that have not ended had so far is told in fill().
  bool cancel() override;
  std::string waiting_for() const override { return runnable() ? "" : runtime_.reward().waiting_for(); }
  void fill(wire::NodeDone& done) override;

 private:
  RolloutStage(PipelineRuntime& runtime, RolloutPhase phase, RolloutListener listener)
      : runtime_(runtime), listener_(std::move(listener)), phase_(phase) {}
  Status ask_for_reward(const RolloutOutput& output);
  Status take_rewards();
  void keep_partial(std::uint64_t index, std::span<const TokenId> tokens, std::span<const float> logprobs);

  struct Sample {
    Prompt prompt;
    std::uint64_t reward_id = 0;  // once its reward is asked for
    wire::Trajectory trajectory;  // complete but for the reward once the rollout has ended
  };
  PipelineRuntime& runtime_;
  RolloutListener listener_;
  RolloutPhase phase_;
  std::optional<SubStageKind> entered_;                      // not told yet
  std::vector<RolloutOutput> ended_;                         // no reward asked for yet
  std::map<std::uint64_t, Sample> samples_;                  // those without a reward yet, by index in the step
  std::map<std::uint64_t, std::uint64_t> sample_of_reward_;  // by the reward's id
  std::vector<wire::PartialRollout> partials_;               // once cancelled
  std::int64_t recomputed_tokens_ = 0;
};

}  // namespace jigsaw
