// What the controller gathers of a pipeline's running step, and of the steps before it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/clock.h"
#include "core/result.h"
#include "core/wire/messages.pb.h"
#include "graph/graph.h"
#include "scheduler/run_observer.h"
#include "scheduler/run_summary.h"

namespace jigsaw {

// Sums over the finished steps of a run.
struct PipelineTotals {
  std::int64_t steps = 0, tokens = 0, recomputed_tokens = 0;
  double step_s = 0, alone_s = 0;
  std::vector<double> rewards;  // mean of each step
  std::string weights_hash;
  std::int64_t policy_version = 0;

  void add(const StepReport& report);
  PipelineSummary summary(const std::string& name) const;
};

class StepState {
 public:
  void begin(int pipeline, const PipelineSpec& spec, std::int64_t step, Clock::TimePoint now);

  // kCorrupt for a sample out of range or one that is there already: a sample is trained exactly once.
  Status add_trajectory(wire::Trajectory trajectory);
  // ref_logprobs of samples that are there; kCorrupt otherwise.
  Status add_reference(const wire::Trajectory& scored);
  // What a cancelled rollout had of a sample; the longest counts.
  void add_partial(const wire::PartialRollout& partial);
  // Of one worker's update node; kInternal when workers disagree about the new weights.
  Status add_update(int update, const wire::UpdateStats& stats);
  // The update is to be made again by those who have not applied it: when the first of them tells of it, what was added
  // before is void, but for the weights' hash. If they are lost as well, it stands.
  void restart_update(int update);
  // A node has ended; work_s: what it would have taken alone (waits: what it took).
  void add_node(const Node& node, double work_s, Clock::TimePoint now);
  void add_recomputed_tokens(std::int64_t tokens) { recomputed_tokens_ += tokens; }

  int num_trajectories() const { return num_trajectories_; }
  bool has_trajectory(std::uint32_t sample) const { return trajectories_[sample].has_value(); }
  const wire::Trajectory& trajectory(std::uint32_t sample) const { return *trajectories_[sample]; }
  bool has_reference(std::uint32_t sample) const { return references_.contains(sample); }
  const wire::PartialRollout* partial(std::uint32_t sample) const;  // null = from the prompt on

  // After the last node. Takes the trajectories along.
  StepReport report(const PipelineSpec& spec, Clock::TimePoint now);

 private:
  int pipeline_ = 0;
  std::int64_t step_ = 0;
  Clock::TimePoint begin_, rollout_end_, logprob_end_;
  std::vector<std::optional<wire::Trajectory>> trajectories_;
  int num_trajectories_ = 0;
  std::set<std::uint32_t> references_;                      // samples that have the reference's log-probs
  std::map<std::uint32_t, wire::PartialRollout> partials_;  // by sample
  struct Update {
    std::map<std::uint32_t, wire::LossStats> losses;  // by place: sums do not depend on who computed what
    wire::UpdateStats stats;                          // norm, rate and hash are the same on each worker
    std::string weights_hash;                         // as the first worker told it
    bool seen = false;
    bool is_made_again = false;  // what the next worker tells replaces the sums
  };
  std::vector<Update> updates_;
  // Seconds by layer (its first kind, update) and worker; a rollout's chain adds up.
  std::map<std::pair<SubStageKind, int>, std::map<int, double>> work_s_;
  std::int64_t recomputed_tokens_ = 0;
};

}  // namespace jigsaw
