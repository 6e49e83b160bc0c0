// How long the nodes of a pipeline's next steps are expected to take.
#pragma once

#include <vector>

namespace jigsaw {

// Seconds are of work: alone, on the whole worker. One forecast holds for all steps of a window, since their graphs
// are alike but for the checkpoint, which comes last.
struct Forecast {
  std::vector<double> seconds;  // by node index; empty = nothing known yet
  std::vector<double> stddev;   // by node index
  bool reliable = false;        // enough steps seen, and the last ones went as predicted

  bool empty() const { return seconds.empty(); }
  double seconds_of(int node) const {
    return static_cast<std::size_t>(node) < seconds.size() ? seconds[static_cast<std::size_t>(node)] : 0;
  }
};

}  // namespace jigsaw
