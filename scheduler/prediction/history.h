// What the last steps of a pipeline took, node by node, and what that says of the next ones (JigsawRL, arXiv
// 2604.23838: the course of a rollout is much the same from one step to the next).
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <vector>

#include "scheduler/prediction/forecast.h"
#include "scheduler/prediction/tail_history.h"

namespace jigsaw {

class History {
 public:
  static constexpr int kStepsKept = 4;
  // The sum over a step's nodes is this far outside of what the last steps came to, above the most or below the least:
  // stragglers alone make steps differ by a factor ...
  static constexpr double kDriftFactor = 2.0;
  // ... in so many steps in a row: drift. The steps before them are forgotten then, and it is over when as many have
  // gone as predicted.
  static constexpr int kDriftSteps = 2;
  // So many steps at least have to say what was: next to one or two, two long tails in a row are no rarity.
  static constexpr int kReferenceSteps = 3;

  History() = default;
  // bins are the pipeline's; the cost of its model's passes, where it was measured, starts the prediction of tails.
  explicit History(TokenBins bins, ModelCost cost = {}) : tails_(bins, std::move(cost)) {}

  // Seconds of work of a node (alone, on the whole worker; waits: wall time). Nodes of neighbouring steps may come
  // interleaved.
  void observe(std::int64_t step, int node, double work_s);
  // The completions of the worker whose rollout ends with decode.tail `tail` (its last turn), once all have ended, and
  // before finish_step(). Where sequences came or went on the way, what the node took says nothing of the next step's:
  // then the work that it would have been stands for it.
  void observe_completions(std::int64_t step, int tail, const std::vector<Completion>& completions, bool has_moved);
  // All nodes of the step have been observed. The first step seen is forgotten as soon as there is a second: it
  // includes warm-up.
  void finish_step(std::int64_t step);

  Forecast forecast() const;  // empty before the first step has ended
  bool drifted() const { return drifted_; }
  // |predicted - observed| / observed of the sum over the nodes of a step that is not finished, which all but its
  // checkpoint have been observed of; empty before there was a prediction.
  std::optional<double> error_of(std::int64_t step) const;

 private:
  using Seconds = std::vector<double>;  // by node
  struct Sums {
    double predicted = 0, observed = 0;
  };
  Sums sums_of(const Seconds& observed) const;
  void judge(const Seconds& observed);

  TailHistory tails_;
  std::map<std::int64_t, Seconds> open_;  // by step
  std::deque<Seconds> last_;
  std::int64_t steps_finished_ = 0;
  int steps_off_ = 0, steps_right_ = 0;
  bool drifted_ = false;
};

}  // namespace jigsaw
