// The steps of a published workload, drawn: how long each sample gets, and from that how long each sub-stage of a
// worker takes alone on the whole of it. All of it is simulated; README.md tells fact from assumption.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "graph/pipeline_spec.h"
#include "graph/sub_stage_kind.h"
#include "scheduler/cost/model_cost.h"
#include "scheduler/cost/profile.h"
#include "scheduler/prediction/survival_curve.h"
#include "scheduler/simulator/length_distribution.h"
#include "scheduler/simulator/simulated_tail.h"

namespace jigsaw {

struct SampleDraw {
  int response_tokens = 0;  // of all turns, with what tools added
  int turns = 1;
  bool operator==(const SampleDraw&) const = default;
};

// Immutable.
class Workload {
 public:
  // `bins` are the profile's.
  Workload(WorkloadFacts facts, TokenBins bins);

  const WorkloadFacts& facts() const { return facts_; }
  const TokenBins& bins() const { return bins_; }
  const LengthDistribution& lengths() const { return lengths_; }
  int max_turns() const { return static_cast<int>(facts_.turns.size()); }

  // In sync mode, without memory needs: a job changes what it wants to.
  PipelineSpec spec(std::string name, std::int64_t steps) const;

  // The same whichever worker has the sample. Pipelines that are to differ need seeds that do.
  SampleDraw draw_sample(std::uint64_t seed, std::int64_t step, std::uint32_t sample) const;
  // Seconds of the tool call after turn `turn` (from 0) of a step: between the published least and most, uniform. One
  // service answers all workers of the step at once, so that it takes as long on each.
  double draw_tool_s(std::uint64_t seed, std::int64_t step, int turn) const;

 private:
  WorkloadFacts facts_;
  TokenBins bins_;
  LengthDistribution lengths_;
  double turns_sum_ = 0;
};

struct SimulatedSubStage {
  SubStageKind kind = SubStageKind::kPrefill;
  int turn = 0;
  WorkPart work;  // seconds alone on the whole worker; tokens that passes of the model went over
};

// What one worker has to do in one step.
struct SimulatedStep {
  std::vector<SimulatedSubStage> rollout;  // its chain, as Graph::build orders it; empty without samples
  double logprob_s = 0;                    // old and reference
  double update_s = 0;                     // all updates of the step
  double sync_s = 0;
  double tokens = 0;  // prompt + response of the samples, as throughput counts them
  // Of the last turn: all completions, in order of sample, and what runs when its tail begins. With tools a turn is
  // what lies between the calls, otherwise all turns are one.
  std::vector<Completion> completions;
  std::vector<TailSequence> tail;
};

// One worker of `num_workers` (data parallel), which rolls out `samples` (of the step, whole groups). Pure.
//
// A rollout: the prompts in one pass, each group's once; then all samples decode together, a pass a token, until they
// end, with the time of a pass for the batch and the mean context that it has then. Passes of bins.wide_from sequences
// or more are the prefill sub-stage's, as on real workers. What passes take is multiplied by facts.engine_overhead:
// the rollout as it was seen, over the sum of its passes (sampling, detokenizing, host, queueing for KV memory).
//
// Turns. With tools all samples wait for the call, so each turn is such a rollout of its own, with the tools' tokens as
// its prefill. Without, a sample goes on into its next turn at once, and all turns are one rollout: its tail is the
// last turn's, its bulk is divided among the turns by their tokens, and tools take no time. Turns of a sample are
// equally long.
//
// Stages beyond the rollout take what was published, over all workers: log-probs as their samples, updates equally; a
// sync does not get shorter. The wait for the last reward after the last completion (facts.reward_s) is the same for
// any number of samples: rewards are judged while others still decode.
SimulatedStep draw_step(const Workload& workload, const ModelCost& model, std::uint64_t seed, std::int64_t step,
                        std::span<const std::uint32_t> samples, int num_workers);

// A workload's draws beside what was published of it, for one worker with all samples; means over steps 1 .. steps.
struct WorkloadCheck {
  double response_tokens = 0;
  double rollout_s = 0;         // with engine_overhead and tools, without the wait for rewards
  double rollout_s_stddev = 0;  // from step to step
  double passes_s = 0;          // without either
  double engine_overhead = 0;   // with which rollout_s would be the published one
  double tail_time_share = 0;   // of the passes
};
WorkloadCheck check_workload(const Workload& workload, const ModelCost& model, std::uint64_t seed, int steps);

}  // namespace jigsaw
