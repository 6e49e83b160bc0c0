// The schedule of a job on simulated workers: discrete events over the same graphs, plan, prediction and policies that
// drive real ones. Deterministic but for the decision times, which are measured.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "scheduler/policy.h"
#include "scheduler/run_summary.h"
#include "scheduler/simulator/simulated_tail.h"

namespace jigsaw {

// What a simulated pipeline's steps really take; the policy sees only what prediction makes of the steps before.
class SimulatedDurations {
 public:
  virtual ~SimulatedDurations() = default;
  // Seconds of a node alone on the whole worker; of waits: wall time.
  virtual double seconds(std::int64_t step, const Node& node) = 0;
  virtual double tokens(std::int64_t step) = 0;  // of the whole step
  // Of the last decode.tail of a worker's rollout, which takes total_s(); empty where nothing is known of its
  // sequences: then they stay where they are.
  virtual std::optional<SimulatedTail> tail(std::int64_t, const Node&) { return std::nullopt; }
  // Of the same rollout, all turns' last completions.
  virtual std::vector<Completion> completions(std::int64_t, int /*worker*/) { return {}; }
};

struct SimulatedPipeline {
  PipelineSpec spec;
  std::shared_ptr<SimulatedDurations> durations;
  ModelCost cost{};  // of the model's passes, as it was measured: what prediction starts from
};

// What a worker did when.
struct TimelineEntry {
  NodeRef node;
  double begin_s = 0, end_s = 0;
};

struct SimulationObserver {
  // A decision that starts, holds, merges or reshares something, before it is carried out.
  std::function<void(double now_s, const Plan&, const Decision&)> on_decision;
  std::function<void(const TimelineEntry&, const Plan&)> on_node_end;
  std::function<void(const SlowdownTable&)> on_end;  // as it has been refined
};

// Mean seconds of a step of each pipeline simulated by itself on the same workers.
Result<std::vector<double>> alone_step_s(const std::vector<SimulatedPipeline>& pipelines, const Capacity& capacity);

// kInternal when the policy leaves ready nodes waiting with nothing running. latency_factor is against alone_s, which
// is alone_step_s() of the same pipelines, or empty, to have it worked out here. Sub-stages really slow each other down
// as true_slowdown says, by default capacity's own table, which is all that the policy knows at first.
Result<RunSummary> simulate(const std::vector<SimulatedPipeline>& pipelines, const Policy& policy,
                            const Capacity& capacity, const SimulationObserver& observer = {},
                            std::vector<double> alone_s = {}, const SlowdownTable* true_slowdown = nullptr);

}  // namespace jigsaw
