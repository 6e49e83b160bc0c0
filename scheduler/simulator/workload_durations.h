// A workload's steps as the simulator asks for them.
#pragma once

#include <map>
#include <memory>

#include "scheduler/simulator/simulator.h"
#include "scheduler/simulator/workload.h"

namespace jigsaw {

// Draws a step when it is first asked for and keeps the newest ones. The same seed gives the same steps on any number
// of workers, as far as samples go.
class WorkloadDurations : public SimulatedDurations {
 public:
  WorkloadDurations(Workload workload, ModelCost model, PipelineSpec spec, std::uint64_t seed, int num_workers);

  double seconds(std::int64_t step, const Node& node) override;
  double tokens(std::int64_t step) override;
  std::optional<SimulatedTail> tail(std::int64_t step, const Node& node) override;
  std::vector<Completion> completions(std::int64_t step, int worker) override;

 private:
  const std::vector<SimulatedStep>& step(std::int64_t step);

  Workload workload_;
  ModelCost model_;
  PipelineSpec spec_;
  std::uint64_t seed_;
  int num_workers_;
  std::map<std::int64_t, std::vector<SimulatedStep>> steps_;  // by step; by worker - 1
};

}  // namespace jigsaw
