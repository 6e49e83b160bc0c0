// Rolls out some samples of a step and asks for their rewards as they end. A quantum is one forward pass of the engine.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "core/wire/messages.pb.h"
#include "workers/pipeline_runtime.h"
#include "workers/sub_stage.h"

namespace jigsaw {

class RolloutStage : public SubStage {
 public:
  // `on_trajectory` is called once a sample, with its reward. `runtime` outlives the stage.
  static Result<std::unique_ptr<RolloutStage>> create(PipelineRuntime& runtime, std::int64_t step,
                                                      const wire::RolloutWork& work,
                                                      std::function<Status(wire::Trajectory)> on_trajectory);

  Status poll() override;
  bool runnable() const override { return !runtime_.engine().idle(); }
  Status run_quantum(Lane& lane) override;
  bool done() const override { return samples_.empty(); }
  bool cancel() override;
  std::string waiting_for() const override { return runnable() ? "" : runtime_.reward().waiting_for(); }
  void fill(wire::NodeDone& done) override;

 private:
  RolloutStage(PipelineRuntime& runtime, std::function<Status(wire::Trajectory)> on_trajectory)
      : runtime_(runtime), on_trajectory_(std::move(on_trajectory)) {}
  Status ask_for_reward(const RolloutOutput& output);

  struct Sample {
    Prompt prompt;
    wire::Trajectory trajectory;  // complete but for the reward once the rollout has ended
  };
  PipelineRuntime& runtime_;
  std::function<Status(wire::Trajectory)> on_trajectory_;
  std::map<std::uint64_t, Sample> samples_;  // those without a reward yet, by index in the step
  std::int64_t recomputed_tokens_ = 0;
};

}  // namespace jigsaw
