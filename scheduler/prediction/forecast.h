// How long the nodes of a pipeline's next steps are expected to take.
#pragma once

#include <vector>

#include "scheduler/prediction/tail_forecast.h"

namespace jigsaw {

// Seconds are of work: alone, on the whole worker; of waits: wall time. One forecast holds for all steps of a window,
// since their graphs are alike but for the checkpoint, which comes last.
struct Forecast {
  std::vector<double> seconds;               // mean by node index; empty = nothing known yet
  std::vector<std::vector<double>> samples;  // by node index: of the last steps, ascending
  // Of a running decode.tail: better than `samples`, where it is known how many sequences still run.
  TailForecast tail{};
  bool drifted = false;  // the last steps did not go as predicted

  bool empty() const { return seconds.empty(); }
  double seconds_of(int node) const;
  // What is left of a node that has done_s of work behind it: the mean over those of the last steps that took longer,
  // which is what makes the last bin a distribution; beyond all of them, the spread between the last two.
  double remaining_s(int node, double done_s) const;
};

}  // namespace jigsaw
