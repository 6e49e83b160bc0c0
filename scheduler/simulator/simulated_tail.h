// What really happens in the last decode.tail of a simulated rollout: which sequences run, when each ends, and what
// becomes of it when others join. Policies see of it only how many still run.
#pragma once

#include <vector>

#include "scheduler/cost/model_cost.h"

namespace jigsaw {

struct TailSequence {
  double context = 0;  // cached tokens
  double decoded = 0;  // of them, those that count as this turn's completion
  double left = 0;     // tokens still to decode
};

// Immutable. Work is in seconds alone on the whole worker.
class SimulatedTail {
 public:
  // Sequences with nothing left are dropped. `overhead` multiplies what passes and prefills take. Before the first pass
  // comes lead_s of work.
  SimulatedTail(std::vector<TailSequence> sequences, const ModelCost& model, double overhead, double lead_s = 0);

  // When sequences end, ascending: the work done by then, and what runs from then on.
  struct End {
    double work_s;
    int running;
    double decoded;  // mean of those that run on; of the last ones if none does
  };
  const std::vector<End>& ends() const { return ends_; }
  double total_s() const { return ends_.empty() ? lead_s_ : ends_.back().work_s; }
  int num_sequences() const { return static_cast<int>(sequences_.size()); }
  double decoded() const;  // mean, at the beginning

  // What runs after so much work; whole passes that were begun count.
  std::vector<TailSequence> after(double work_s) const;
  // Those sequences, together with `joining`, after so much lead time.
  SimulatedTail joined(double work_s, const std::vector<TailSequence>& joining, double lead_s) const;
  // Prefill of the contexts of these anew.
  double prefill_s(const std::vector<TailSequence>& sequences) const;

 private:
  std::vector<TailSequence> sequences_;  // by tokens left, ascending
  ModelCost model_;
  double overhead_, lead_s_;
  std::vector<End> ends_;
  std::vector<double> passes_;  // beside ends_
};

}  // namespace jigsaw
