// The schedule of a job on simulated workers: discrete events over the same graphs, plan, prediction and policies that
// drive real ones. Deterministic but for the decision times, which are measured.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "scheduler/policy.h"
#include "scheduler/run_summary.h"

namespace jigsaw {

// What a simulated pipeline's steps really take; the policy sees only what prediction makes of the steps before.
class SimulatedDurations {
 public:
  virtual ~SimulatedDurations() = default;
  // Seconds of a node alone on the whole worker; of waits: wall time.
  virtual double seconds(std::int64_t step, const Node& node) = 0;
  virtual double tokens(std::int64_t step) = 0;  // of the whole step
};

struct SimulatedPipeline {
  PipelineSpec spec;
  std::shared_ptr<SimulatedDurations> durations;
};

// What a worker did when.
struct TimelineEntry {
  NodeRef node;
  double begin_s = 0, end_s = 0;
};

struct SimulationObserver {
  // A decision that starts, holds or reshares something, before it is carried out.
  std::function<void(double now_s, const Plan&, const Decision&)> on_decision;
  std::function<void(const TimelineEntry&, const Plan&)> on_node_end;
};

// kInternal when the policy leaves ready nodes waiting with nothing running. latency_factor is against the pipeline
// simulated by itself on the same workers.
Result<RunSummary> simulate(const std::vector<SimulatedPipeline>& pipelines, const Policy& policy,
                            const Capacity& capacity, const SimulationObserver& observer = {});

}  // namespace jigsaw
