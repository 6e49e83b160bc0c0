// How long a running decode.tail will take yet, as a distribution: from how many sequences still run, how far they are,
// how long completions get, and what a decode pass costs.
#pragma once

#include <span>
#include <vector>

#include "scheduler/cost/model_cost.h"
#include "scheduler/prediction/survival_curve.h"

namespace jigsaw {

// Sequences that have not ended, `tokens` decoded of each.
struct RunningSequences {
  int count = 0;
  double tokens = 0;
};

struct RemainingTime {
  struct Point {
    double seconds;  // of work: alone, on the whole worker
    double done;     // probability that it takes no longer
  };
  std::vector<Point> points;  // ascending; empty = nothing is left

  double mean_s() const;
  double quantile_s(double probability) const;  // the least time that is enough with this probability
};

// A plain value. Lengths are taken as drawn independently from the curve, given what each sequence has decoded already.
//
// Of n sequences that have decoded d tokens, with S the survival curve, S(d + t) / S(d) is the part that is expected to
// run after t more passes; all have ended by then with probability (1 - S(d + t) / S(d))^n, several groups multiply. A
// pass costs what it does at the width that is expected given that any runs.
struct TailForecast {
  SurvivalCurve lengths;
  ModelCost cost;            // of decode passes, and of a prefill where sequences move
  double scale = 1;          // observed / cost
  double prompt_tokens = 0;  // mean context besides what was decoded

  bool empty() const { return lengths.empty() || cost.decode.empty(); }
  RemainingTime remaining(std::span<const RunningSequences> groups) const;
  // The same sequences after so much more work, if none of them has ended by then.
  RunningSequences after(RunningSequences sequences, double work_s) const;
  // Prefill of these sequences' contexts anew.
  double prefill_s(RunningSequences sequences) const;
};

}  // namespace jigsaw
