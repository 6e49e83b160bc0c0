// Rolls out some samples of a step and asks for their rewards as they end. A quantum is one forward pass of the engine.
// Rewards and tools are asked in poll(): external ones end with the thread that started them, which is to be the
// executor's. A completion that calls a tool pauses in the engine until the answer is there.
//
// Samples can come from, and go to, the same rollout on another worker (workers/moves):
//
//   running --take_out()--> frozen --give_away()--> the other worker's
//                            | put_back()
//                            v
//                         running
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/wire/messages.pb.h"
#include "core/wire/peer_messages.pb.h"
#include "workers/pipeline_runtime.h"
#include "workers/stages/rollout_phase.h"
#include "workers/stages/tool_calls.h"
#include "workers/sub_stage.h"

namespace jigsaw {

// Completions that still run.
struct RunningSamples {
  int count = 0;
  double mean_tokens = 0;  // decoded of each
};

// Whom a rollout tells; all are called from poll(). The last two may be empty.
struct RolloutListener {
  std::function<Status(wire::Trajectory)> on_trajectory;  // once a sample, with its reward
  std::function<Status(RolloutPhase::Place)> on_entered;  // each sub-stage after the first
  // In the tail, on entering it and whenever the number has changed.
  std::function<Status(RunningSamples)> on_progress;
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
  bool runnable() const override { return !samples_.empty() && runtime_.engine().has_work(); }
  Status run_quantum(Lane& lane) override;
  bool done() const override { return samples_.empty() && num_expected_ == 0; }
  // What the samples that have not ended had so far is told in fill().
  bool cancel() override;
  std::string waiting_for() const override;
  void fill(wire::NodeDone& done) override;

  // ---- moving samples, between quanta

  PipelineRuntime& runtime() { return runtime_; }
  std::int64_t step() const { return step_; }
  // Those that the engine has, in order.
  std::vector<std::uint64_t> running_samples() const;
  // Prompt and completion so far; empty unless the engine has it.
  std::optional<std::size_t> num_tokens(std::uint64_t sample) const;
  std::optional<wire::SequenceSnapshot> snapshot(std::uint64_t sample) const;
  // Why another sample of so many tokens cannot come here, if it cannot.
  Status check_room_for(std::size_t num_tokens) const;
  // One more, or one less, is on its way here: the rollout is not done meanwhile.
  void expect_sample() { ++num_expected_; }
  void expect_no_sample() { --num_expected_; }
  // The engine no longer has it; true if it had.
  bool take_out(std::uint64_t sample);
  void put_back(std::uint64_t sample);
  void give_away(std::uint64_t sample);
  // One that comes from elsewhere, with `kv` or (null) to be computed again. Errors: it is here already, or is not what
  // this worker would have made of its prompt.
  Status take_in(const wire::SequenceSnapshot& snapshot, const KvImport* kv);

  // Rows that passes of prefill alone have computed since the last call, and in what time.
  struct PrefillRate {
    std::int64_t rows = 0;
    double seconds = 0;
  };
  PrefillRate take_prefill_rate() { return std::exchange(prefill_, {}); }

 private:
  struct Sample {
    Prompt prompt;
    std::uint64_t reward_id = 0;  // once its reward is asked for
    wire::Trajectory trajectory;  // complete but for the reward once the rollout has ended
    std::optional<RolloutOutput> frozen{};
  };

  RolloutStage(PipelineRuntime& runtime, std::int64_t step, RolloutPhase phase, RolloutListener listener)
      : runtime_(runtime), step_(step), listener_(std::move(listener)), phase_(phase), calls_(runtime) {}
  // Submits it with what there is of its completion already; its keys and values, or null.
  Status add_sample(PipelineRuntime::SampleRequest made, const SequenceProgress& completion, const KvImport* kv);
  Status ask_for_reward(const RolloutOutput& output);
  Status take_rewards();
  Status ask_tools();
  Status take_answers();
  void keep_partial(std::uint64_t index, const SequenceProgress& completion);
  Status tell_progress();

  PipelineRuntime& runtime_;
  std::int64_t step_;
  RolloutListener listener_;
  RolloutPhase phase_;
  std::optional<RolloutPhase::Place> entered_;  // not told yet
  int told_count_ = 0;                          // of running samples, last
  std::vector<RolloutOutput> ended_;            // no reward asked for yet
  std::vector<std::uint64_t> paused_;           // no tool asked yet
  ToolCalls calls_;
  std::map<std::uint64_t, Sample> samples_;                  // those without a reward yet, by index in the step
  std::map<std::uint64_t, std::uint64_t> sample_of_reward_;  // by the reward's id
  std::vector<wire::PartialRollout> partials_;               // once cancelled
  std::int64_t recomputed_tokens_ = 0;
  int num_expected_ = 0;
  PrefillRate prefill_;
};

}  // namespace jigsaw
