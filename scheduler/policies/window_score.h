// How good a prospect is, for the look-ahead policy: the throughput of the whole job that its first windows promise.
//
// The objective is the end of the whole job, not the sum of speeds: that would favour short pipelines and leave the
// long one alone at the end. Speeds are measured until the first window ends, for what comes after has fewer pipelines
// than there really are.
#pragma once

#include <vector>

#include "scheduler/policies/outlook.h"

namespace jigsaw {

class WindowScore {
 public:
  // Both outlive this.
  WindowScore(const Plan& plan, const Outlook& outlook);

  // Larger is better; deadlines and latency caps that would be missed count against it.
  double of(const Prospect& prospect) const;
  // What is left of a pipeline's window, alone; 0 where the outlook leaves it out.
  double alone_s(int pipeline) const { return alone_s_[static_cast<std::size_t>(pipeline)]; }

 private:
  double speed_of(const Prospect& prospect, int pipeline) const;

  const Plan& plan_;
  std::vector<double> alone_s_;  // by pipeline
  std::vector<double> step_s_;   // by pipeline: a whole step
};

}  // namespace jigsaw
