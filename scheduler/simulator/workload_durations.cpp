#include "scheduler/simulator/workload_durations.h"

#include "graph/graph.h"

namespace jigsaw {
namespace {

constexpr std::size_t kStepsKept = 8;

}  // namespace

WorkloadDurations::WorkloadDurations(Workload workload, ModelCost model, PipelineSpec spec, std::uint64_t seed,
                                     int num_workers)
    : workload_(std::move(workload)),
      model_(std::move(model)),
      spec_(std::move(spec)),
      seed_(seed),
      num_workers_(num_workers) {}

const std::vector<SimulatedStep>& WorkloadDurations::step(std::int64_t step) {
  const auto [entry, is_new] = steps_.try_emplace(step);
  if (!is_new) return entry->second;
  std::vector<SimulatedStep>& drawn = entry->second;
  drawn.resize(static_cast<std::size_t>(num_workers_));
  const Graph graph = Graph::build(spec_, step, num_workers_);
  for (const Node& node : graph.nodes()) {
    SimulatedStep& of = drawn[static_cast<std::size_t>(node.worker) - 1];
    if (node.kind == SubStageKind::kPrefill && node.turn == 0) {
      of = draw_step(workload_, model_, seed_, step, node.samples, num_workers_);
    } else if (node.kind == SubStageKind::kUpdate && of.rollout.empty()) {
      of = draw_step(workload_, model_, seed_, step, {}, num_workers_);  // a worker without samples
    }
  }
  if (steps_.size() > kStepsKept) {
    const bool oldest_is_this = steps_.begin()->first == step;  // a simulation that begins anew
    steps_.erase(oldest_is_this ? std::prev(steps_.end()) : steps_.begin());
  }
  return drawn;
}

double WorkloadDurations::seconds(std::int64_t step_number, const Node& node) {
  const SimulatedStep& of = step(step_number)[static_cast<std::size_t>(node.worker) - 1];
  switch (node.kind) {
    case SubStageKind::kSync: return of.sync_s;
    case SubStageKind::kLogprob: return of.logprob_s;
    case SubStageKind::kUpdate: return of.update_s / spec_.updates_per_step;
    case SubStageKind::kCheckpoint: return 0;
    default: break;
  }
  for (const SimulatedSubStage& part : of.rollout) {
    if (part.kind == node.kind && part.turn == node.turn) return part.work.seconds;
  }
  return 0;
}

double WorkloadDurations::tokens(std::int64_t step_number) {
  double sum = 0;
  for (const SimulatedStep& worker : step(step_number)) sum += worker.tokens;
  return sum;
}

std::optional<SimulatedTail> WorkloadDurations::tail(std::int64_t step_number, const Node& node) {
  const SimulatedStep& of = step(step_number)[static_cast<std::size_t>(node.worker) - 1];
  return SimulatedTail(of.tail, model_, workload_.facts().engine_overhead);
}

std::vector<Completion> WorkloadDurations::completions(std::int64_t step_number, int worker) {
  return step(step_number)[static_cast<std::size_t>(worker) - 1].completions;
}

}  // namespace jigsaw
