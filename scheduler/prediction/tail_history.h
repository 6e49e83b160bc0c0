// What the last steps of a pipeline say of the tails of its next ones: lengths of completions, and what decode passes
// really cost. The same for the controller, which sees completions as they end, and the simulator.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "graph/sub_stage_kind.h"
#include "scheduler/prediction/tail_forecast.h"

namespace jigsaw {

class TailHistory {
 public:
  static constexpr std::size_t kStepsKept = 4;
  // What is known of the cost of passes moves so far towards what a tail took, and not beyond these bounds at once.
  static constexpr double kScaleWeight = 0.2, kScaleRatioMax = 2;

  // Without a measured cost a pass takes the same time whatever its width; how long, is learnt from the first tail.
  TailHistory() : TailHistory(TokenBins(), {}) {}
  TailHistory(TokenBins bins, ModelCost cost);

  // The completions of one worker's rollout, wherever they ended. Of rollouts with tools what was decoded in the last
  // turn, with all before it as prompt.
  void observe(std::int64_t step, const std::vector<Completion>& completions);
  // What the last decode.tail of such a rollout took, seconds of work, if no sequence came or went.
  void observe_tail(const std::vector<Completion>& completions, double tail_s);
  // What it takes, as far as is known: from when fewer than bins.tail_below run to the last one's end.
  double tail_s(const std::vector<Completion>& completions) const;
  bool knows_cost() const { return knows_cost_; }

  TailForecast forecast() const;  // empty before there is a length and a cost
  // Steps before the last kStepsKept are forgotten.
  void finish_step();

 private:
  double tail_at_scale_1_s(const std::vector<Completion>& completions) const;

  TokenBins bins_;
  ModelCost cost_;
  double scale_ = 1;
  bool knows_cost_, has_observed_ = false;
  std::map<std::int64_t, std::vector<Completion>> lengths_;  // by step
  SurvivalCurve curve_;                                      // of all of them, as of the last finish_step()
  double prompt_tokens_ = 0;
};

}  // namespace jigsaw
